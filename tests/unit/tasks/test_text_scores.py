"""Scores of texts: chrF as sacrebleu has it, F1 as SQuAD's script."""

from __future__ import annotations

import pytest
import sacrebleu

from disteval.tasks.text_scores import corpus_chrf, exact_match, f1, sentence_chrf, words

# Output, reference, and F1 by hand: 2 * same / (words of one + words of the other).
PAIRS = [
    ("The cat sat.", "a cat sat", 1.0),  # without articles and punctuation
    ("cat", "dog", 0.0),
    ("the black cat", "the white cat", 2 / 4),
    ("cat cat cat", "cat cat", 4 / 5),  # each word as often as in both
    ("New York City", "new york", 4 / 5),
    ("in 1066", "1066", 2 / 3),
    ("", "", 1.0),
    ("", "something", 0.0),
    ("the", "a", 1.0),  # nothing is left of either
    ("it's U.S.A.", "its usa today", 4 / 5),
]
TEXTS = [
    ("the cat is on the mat", "there is a cat on the mat"),
    ("Привет, мир", "Привет, мир!"),
    ("東京は日本の首都です", "東京は日本の首都である"),
    ("emoji 🎉 and ümläuts", "emoji 🎉 und Umlaute"),
    ("", "nothing was written"),
    ("same", "same"),
]


@pytest.mark.parametrize(("output", "reference", "expected"), PAIRS)
def test_f1_of_pairs_made_by_hand(output: str, reference: str, expected: float) -> None:
    assert f1(output, reference) == pytest.approx(expected)
    assert f1(reference, output) == pytest.approx(expected), "it is symmetric"


def test_words() -> None:
    assert words("The Answer: an A-team's theory, a\tthe B!") == [
        "answer", "ateams", "theory", "b",
    ]  # fmt: skip


def test_chrf_is_that_of_sacrebleu() -> None:
    outputs, references = map(list, zip(*TEXTS, strict=True))
    assert corpus_chrf(outputs, references) == sacrebleu.corpus_chrf(outputs, [references]).score
    sentences = [sentence_chrf(*pair) for pair in TEXTS]
    assert sentences == [
        sacrebleu.sentence_chrf(output, [reference]).score for output, reference in TEXTS
    ]
    assert sentences[-1] == pytest.approx(100)
    assert sentence_chrf("", "") == 100
    assert corpus_chrf(outputs, references) != pytest.approx(sum(sentences) / len(sentences))


def test_exact_matches() -> None:
    pairs = [("a", "a"), (" a\n", "a"), ("A", "a"), ("", ""), ("a b", "a  b")]
    assert [exact_match(*pair) for pair in pairs] == [True, True, False, True, False]
