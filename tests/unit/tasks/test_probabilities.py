"""Labels of a batch, and outputs as probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from disteval.errors import DataError
from disteval.tasks.probabilities import (
    labels_of,
    numbers_of,
    pack_bits,
    to_probabilities,
    unpack_bits,
)


@pytest.mark.parametrize(
    ("outputs", "logits", "independent", "expected"),
    [
        ([[0.2, 0.8]], False, False, [[0.2, 0.8]]),
        ([[0.0, np.log(3)]], True, False, [[0.25, 0.75]]),
        ([[0.8]], False, False, [[0.2, 0.8]]),
        ([[np.log(3)]], True, False, [[0.25, 0.75]]),
        ([[0.0, np.log(3)]], True, True, [[0.5, 0.75]]),
        ([[0.8]], False, True, [[0.8]]),
    ],
)
def test_probabilities(outputs: Any, logits: bool, independent: bool, expected: Any) -> None:
    found = to_probabilities(tf.constant(outputs, tf.float32), logits, independent)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_labels_of_a_batch() -> None:
    x = y = tf.constant([1, 2])
    assert labels_of((x, y)) is labels_of((x, y, x)) is numbers_of(y) is numbers_of([y]) is y
    assert labels_of((x, {"a": y})) == {"a": y}
    for batch in (x, (x,)):
        with pytest.raises(DataError, match="`validation_data` has no labels"):
            labels_of(batch)


@pytest.mark.parametrize(
    ("y", "told"),
    [
        (tf.constant(["a"]), "string"),
        (tf.ragged.constant([[1], [2, 3]]), "RaggedTensor"),
    ],
    ids=["strings", "ragged"],
)
def test_labels_that_are_not_one_tensor_of_numbers(y: Any, told: str) -> None:
    with pytest.raises(DataError, match=f"not numeric. Received: labels of type {told}"):
        numbers_of(y)


@pytest.mark.parametrize("count", [1, 8, 11])
def test_packed_bits(count: int) -> None:
    flags = np.random.default_rng(0).random((5, count)) < 0.5
    packed = pack_bits(tf.constant(flags)).numpy()
    assert packed.shape == (5, -(-count // 8))
    np.testing.assert_array_equal(unpack_bits(packed, count), flags)
