"""Metrics of texts: exact match and F1 as in question answering, and chrF of sacrebleu.

`f1` follows the evaluation script of SQuAD 2.0 (Rajpurkar et al., 2018, https://arxiv.org/abs/1806.03822),
without its several answers to one question. chrF (Popovic, 2015, https://aclanthology.org/W15-3049)
is the F-score of n-grams of characters, and needs no words: it also suits languages without spaces.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def exact_match(output: str, reference: str) -> bool:
    """Whether two texts are the same, but for white space at both ends."""
    return output.strip() == reference.strip()


def f1(output: str, reference: str) -> float:
    """Returns the F1 score of the words of a text, from 0 to 1.

    Args:
        output: The text of the model.
        reference: The text that it should be.
    """
    found, true = words(output), words(reference)
    if not found or not true:
        return float(found == true)
    same = (Counter(found) & Counter(true)).total()
    return 2 * same / (len(found) + len(true))


def words(text: str) -> list[str]:
    """Returns the words that F1 counts: in lower case, without punctuation and English articles."""
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def sentence_chrf(output: str, reference: str) -> float:
    """Returns the chrF of one text, from 0 to 100; of two empty texts 100, as they are equal."""
    from sacrebleu.metrics import CHRF

    if not output and not reference:  # sacrebleu counts no n-grams, and says 0
        return 100.0
    return float(CHRF().sentence_score(output, [reference]).score)


def corpus_chrf(outputs: Sequence[str], references: Sequence[str]) -> float:
    """Returns the chrF of all texts together, from 0 to 100.

    It counts n-grams of all texts, so that long texts weigh more; it is no mean over samples.
    """
    from sacrebleu.metrics import CHRF

    return float(CHRF().corpus_score(list(outputs), [list(references)]).score)
