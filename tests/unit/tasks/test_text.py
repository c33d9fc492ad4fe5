"""Texts: strings and token ids, scored for each sample and for all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sacrebleu
import tensorflow as tf

import disteval
from disteval.errors import DataError, DistEvalError
from disteval.tasks import text_scores
from disteval.tasks.inputs import Inputs
from unit.tasks.helpers import recording

keras = tf.keras
WORDS = ["ab", "abc", "b", "cab", "", "caab"]
REFERENCES = ["ab", "acb", "b b", "cab", "", "c"]
LETTERS = "-abc "  # 0 is padding


def ids_of(words: list[str], length: int = 5) -> np.ndarray:
    rows = [[LETTERS.index(letter) for letter in word] for word in words]
    return np.array([row + [0] * (length - len(row)) for row in rows], np.int32)


def decode(ids: np.ndarray) -> str:
    return "".join(LETTERS[i] for i in ids if i)


def model() -> keras.Model:
    """Returns a model that returns its input."""
    inputs = keras.Input((None,), dtype="int32")
    return keras.Model(inputs, keras.layers.Identity()(inputs))


class Echo(disteval.TextEval):
    """Returns strings of x as they are."""

    def infer(self, model: Any, batch: Any) -> Any:
        return batch[0]


def assess(task: disteval.TextEval, data: Any) -> tuple[Any, Any]:
    """Returns the predictions and the assessment of a task that was not trained."""
    echo = model()
    task.set_model(echo)
    functions = {"infer": task.infer, "postprocess": task.postprocess}
    found = disteval.predict(echo, data, batch_size=2, **functions)
    return found, task.assess(found, [task.read_label(y) for y in data[1]])


@pytest.mark.parametrize(
    "data",
    [
        (ids_of(WORDS), ids_of(REFERENCES)),
        (ids_of(WORDS), np.array(REFERENCES)),
        (ids_of(WORDS), np.array(REFERENCES, object)),
        (ids_of(WORDS), tf.ragged.constant([[LETTERS.index(c) for c in w] for w in REFERENCES])),
    ],
    ids=["ids", "strings", "objects", "ragged"],
)
def test_metrics_of_token_ids(data: Any) -> None:
    _, assessment = assess(disteval.TextEval(data, decode), data)
    corpus = sacrebleu.corpus_chrf(WORDS, [REFERENCES]).score
    pairs = list(zip(WORDS, REFERENCES, strict=True))
    matches = [text_scores.exact_match(*pair) for pair in pairs]
    f1 = [text_scores.f1(*pair) for pair in pairs]
    expected = {"exact_match": 3 / 6, "f1": sum(f1) / 6, "chrf": corpus}
    assert assessment.metrics == pytest.approx(expected)
    scores = np.array([text_scores.sentence_chrf(*pair) for pair in pairs])
    np.testing.assert_allclose(assessment.columns["score"], scores)
    np.testing.assert_array_equal(assessment.columns["exact_match"], matches)
    np.testing.assert_allclose(assessment.losses, 1 - scores / 100)


def test_metrics_of_strings() -> None:
    data = np.array(WORDS), np.array(REFERENCES)
    task = Echo(data)
    found, assessment = assess(task, data)
    assert [text.decode() for text in found] == WORDS
    assert assessment.metrics["exact_match"] == 3 / 6
    assert assessment.columns["output"].tolist() == WORDS


@pytest.mark.parametrize(
    ("x", "y", "options", "message"),
    [
        (ids_of(WORDS), np.array(REFERENCES), {}, "outputs of token ids, with decode=None"),
        (
            ids_of(WORDS),
            ids_of(REFERENCES),
            {"decode": list},
            r"`decode` returned no text.*list \[",
        ),
        (ids_of(WORDS), np.zeros((6, 2, 2)), {"decode": decode}, "A reference is no text"),
    ],
)
def test_what_is_no_text(x: Any, y: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        assess(disteval.TextEval((x, y), **options), (x, y))


def test_references_of_token_ids_need_decode() -> None:
    data = np.array(WORDS), ids_of(REFERENCES)
    with pytest.raises(DataError, match="references of token ids, with decode=None"):
        assess(Echo(data), data)


def test_logits_are_no_text() -> None:
    class Logits(disteval.TextEval):
        def infer(self, model: Any, batch: Any) -> Any:
            return tf.one_hot(batch[0], 4)

    data = ids_of(WORDS), ids_of(REFERENCES)
    with pytest.raises(DataError, match=r"type float32.*tf.argmax\(outputs, axis=-1\)"):
        assess(Logits(data, decode), data)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"decode": 3}, r"def decode\(ids\)"), ({"prompt_key": 1.5}, "`prompt_key` is not a key")],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DistEvalError, match=message):
        disteval.TextEval((WORDS, REFERENCES), **arguments)


def cells(data: Any, x: Any, **options: Any) -> dict[str, Any]:
    task = disteval.TextEval(data, decode, **options)
    task.set_model(model())
    task._inputs = Inputs([x])
    return task.truth_cells(x, "ab")


def test_prompts() -> None:
    data = ids_of(WORDS), ids_of(REFERENCES)
    assert cells(data, ids_of(["cab"])[0]) == {"prompt": "cab", "reference": "ab"}
    assert cells(data, b"caf\xc3\xa9") == {"prompt": "café", "reference": "ab"}
    parts = {"token_ids": ids_of(["cab"])[0], "padding_mask": np.ones(5, bool)}
    found = cells(data, parts, prompt_key="token_ids")
    assert found == {"prompt": "cab", "reference": "ab"}
    picture = cells(data, np.zeros((4, 4, 1), np.float32))
    assert list(picture) == ["image", "reference"]
    with pytest.raises(DataError, match="prompt"):
        cells(data, parts, prompt_key="prompt")


def test_strata_are_deciles_of_the_length() -> None:
    task = disteval.TextEval((WORDS, REFERENCES))
    strata = task.strata(["a" * length for length in range(100)])
    np.testing.assert_array_equal(np.bincount(strata), [10] * 10)


def test_a_training_with_history_slices_and_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import wandb

    for name in ("DIR", "DATA_DIR", "CACHE_DIR", "CONFIG_DIR"):
        monkeypatch.setenv(f"WANDB_{name}", str(tmp_path))
    wandb.teardown()  # W&B reads its settings once.
    outputs = [WORDS, REFERENCES]

    class Improving(disteval.TextEval):
        def infer(self, model: Any, batch: Any) -> list[str]:
            return [outputs[0][list(REFERENCES).index(y.decode())] for y in batch[1].numpy()]

    tables = []
    data = np.array(WORDS), np.array(REFERENCES)
    long = np.array([len(word) > 2 for word in WORDS])
    with wandb.init(mode="offline"):
        task, recorded = recording(
            Improving, data, eager=True, validate=False, rows="worst", num_rows=3,
            slices={"long": long}, in_logs=("exact_match",), asynchronous=False,
        )  # fmt: skip
        with task:
            for epoch in range(2):
                logs: dict[str, float] = {}
                task.evaluate(model(), epoch, logs)
                tables.append(task.pred_table)
                assert logs["val_exact_match"] == (1.0 if epoch else 0.5)
                outputs.pop(0)
    assert (recorded["fixed"], recorded["broken"]) == (3, 0)
    first, second = ({n: t.get_column(n) for n in t.columns} for t in tables)
    assert set(first["output"]) == {"abc", "b", "caab"}
    assert first["previous"] == [None] * 3
    assert second["output"] == second["reference"]
    assert sorted(second["previous"]) == sorted(
        WORDS[REFERENCES.index(text)] for text in second["reference"]
    )
