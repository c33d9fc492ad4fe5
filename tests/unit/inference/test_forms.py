"""The form of a batch, and the form that covers several."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from disteval.inference.forms import any_rows, fits, generalized, sliced, spec_of

BATCH = {"x": tf.zeros((4, 3)), "ragged": tf.ragged.constant([[1], [2, 3], [], [4]])}


def test_the_form_has_any_number_of_rows() -> None:
    spec = spec_of(BATCH)
    assert spec["x"] == tf.TensorSpec([None, 3])
    assert spec["ragged"].ragged_rank == 1
    assert fits(spec, spec_of(sliced(BATCH, 0, 2)))


def test_rows_of_a_batch() -> None:
    part = sliced(BATCH, 1, 3)
    assert part["x"].shape == (2, 3)
    assert part["ragged"].to_list() == [[2, 3], []]


def test_a_form_for_batches_of_different_shapes() -> None:
    narrow, wide = spec_of(tf.zeros((2, 3))), spec_of(tf.zeros((2, 5)))
    assert not fits(narrow, wide)
    both = generalized(narrow, wide)
    assert both == tf.TensorSpec([None, None])
    assert fits(both, narrow)
    assert fits(both, wide)


def test_batches_of_different_structure_have_no_common_form() -> None:
    single, pair = spec_of(tf.zeros((2, 3))), spec_of((tf.zeros((2, 3)), np.zeros(2)))
    assert not fits(single, pair)
    assert generalized(single, pair) == pair


def test_components_of_any_number_of_rows() -> None:
    assert any_rows(tf.TensorShape([4, 3])).as_list() == [None, 3]
    assert any_rows(tf.TensorShape([])).rank == 0
