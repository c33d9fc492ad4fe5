"""What is known of an output, and of those of two ranks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from disteval.errors import DataError
from disteval.inference import wire


@pytest.mark.parametrize(
    ("output", "leaf"),
    [
        (tf.zeros([4]), wire.Leaf("float32", (), 0)),
        (tf.zeros([4, 2, 3], tf.bfloat16), wire.Leaf("bfloat16", (2, 3), 0)),
        (tf.constant(["a", "b"]), wire.Leaf("string", (), 0)),
        (tf.ragged.constant([[1], [2, 3]]), wire.Leaf("int32", (), 1)),
        (tf.ragged.constant([[[1]], [[2], []]]), wire.Leaf("int32", (), 2)),
        (tf.ragged.constant([[[1, 2]], []], inner_shape=(2,)), wire.Leaf("int32", (2,), 1)),
    ],
)
def test_leaf_describes_an_output(output: Any, leaf: wire.Leaf) -> None:
    assert wire.Leaf.of(output) == leaf


@pytest.mark.parametrize("output", [None, 3.0, tf.constant(3.0), np.zeros(4), "text"])
def test_leaf_refuses_what_has_no_rows(output: Any) -> None:
    with pytest.raises(DataError, match=r"first dimension is the batch.*`postprocess`"):
        wire.Leaf.of(output)


def test_leaves_of_two_ranks_merge() -> None:
    three, four = wire.Leaf("int32", (3,), 0), wire.Leaf("int32", (4,), 0)
    assert three.merged(three) == three
    assert three.merged(four) == wire.Leaf("int32", None, 0)


@pytest.mark.parametrize("other", [wire.Leaf("int64", (), 0), wire.Leaf("int32", (), 1)])
def test_leaves_of_different_kinds_do_not_merge(other: wire.Leaf) -> None:
    with pytest.raises(DataError, match="the same dtype and the same number of ragged dimensions"):
        wire.Leaf("int32", (), 0).merged(other)
