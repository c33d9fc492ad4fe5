"""Text of a sample: strings, token ids, and what a history keeps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from disteval.errors import DataError
from disteval.tasks.texts import (
    BEGINNING,
    check_outputs,
    decoded,
    packed,
    to_ids,
    to_text,
    unpacked,
)


def decode(ids: np.ndarray) -> str:
    return "".join(map(chr, ids))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("é", "é"), (b"caf\xc3\xa9", "café"), (b"\xff", r"\xff"), (np.array("a"), "a"),
        (np.array([b"a"], object), "a"), (tf.constant("a"), "a"), (3, None), (np.array([1]), None),
        (np.array(["a", "b"]), None), (None, None),
    ],
)  # fmt: skip
def test_one_string_is_text(value: Any, text: str | None) -> None:
    assert to_text(value) == text


@pytest.mark.parametrize(
    ("value", "ids"),
    [
        ([1, 2], [1, 2]), (np.array([3], np.uint8), [3]), (tf.constant([4, 5]), [4, 5]),
        (np.zeros((2, 2), int), None), (np.zeros(2), None), ("ab", None), (7, None),
    ],
)  # fmt: skip
def test_token_ids_of_one_sample(value: Any, ids: list[int] | None) -> None:
    found = to_ids(value)
    assert (None if found is None else found.tolist()) == ids


def test_outputs_travel_as_strings_or_ragged_ids() -> None:
    strings = check_outputs(tf.constant([["a"], ["b"]]), None)
    assert strings.numpy().tolist() == [b"a", b"b"]
    dense = check_outputs(tf.constant([[1, 2], [3, 4]], tf.int64), decode)
    assert isinstance(dense, tf.RaggedTensor)
    assert dense.dtype == tf.int32
    ragged = tf.ragged.constant([[1], [2, 3]])
    assert check_outputs(ragged, decode) is ragged


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (tf.zeros([2, 3]), "outputs of type float32.*tf.argmax"),
        (tf.zeros([2, 3, 4], tf.int32), "integers of shape"),
        (tf.constant([["a", "b"]]), "strings of shape"),
        (tf.ragged.constant([["a"], []]), "strings of shape"),
        ("text", "Received: str"),
        (tf.constant([[1]]), "outputs of token ids, with decode=None"),
    ],
)
def test_outputs_that_are_no_text(outputs: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_outputs(outputs, None)


def test_a_decode_that_fails_is_named() -> None:
    assert decoded(np.array([97, 98]), decode, "outputs") == "ab"
    ids = np.arange(20) - 1
    with pytest.raises(DataError, match=r"failed on the outputs.*ValueError.*\[-1, 0, .* and more"):
        decoded(ids, decode, "outputs")
    with pytest.raises(DataError, match=r"no text. Received: int 3 for the token ids \[1\]"):
        decoded(np.array([1]), lambda ids: 3, "outputs")


def test_a_history_keeps_the_beginning_and_tells_texts_apart() -> None:
    long = "é" * BEGINNING
    texts = ["", "short", long, long + "!", "with \0 in it"]
    rows = packed(texts)
    assert (rows.dtype, len({row.tobytes() for row in rows})) == (np.uint8, len(texts))
    found = unpacked(rows)
    assert [found[i] for i in (0, 1, 4)] == [texts[i] for i in (0, 1, 4)]
    assert found[2] == found[3]
    assert found[2].endswith("é…")
    assert len(found[2].encode()) <= BEGINNING
