"""The form of a batch, and the form that covers several."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

# Not public, but the only list of what runs on a GPU on a machine without one.
from tensorflow.python.framework.kernels import get_registered_kernels_for_op

from disteval.inference.forms import any_rows, array_dtype, fits, generalized, sliced, spec_of

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


DTYPES = ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64",
          "float16", "bfloat16", "float32", "float64"]  # fmt: skip


@pytest.mark.parametrize("name", DTYPES)
def test_arrays_on_gpus_hold_every_dtype(name: str) -> None:
    dtype = tf.as_dtype(name)
    assert array_dtype(dtype, on_gpu=False) == dtype
    held = array_dtype(dtype, on_gpu=True)
    if dtype.is_integer:
        limits = tf.constant(np.array([dtype.min, dtype.max], dtype.as_numpy_dtype))
        assert tf.reduce_all(tf.cast(tf.cast(limits, held), dtype) == limits)
    else:
        assert held == dtype
    if not tf.test.is_built_with_cuda():
        return
    for operation in ("TensorListSetItem", "TensorListConcatV2"):
        kernels = get_registered_kernels_for_op(operation).kernel
        on_gpu = [
            kernel.constraint[0].allowed_values.list.type
            for kernel in kernels
            if kernel.device_type in ("GPU", "DEFAULT") and kernel.constraint
        ]
        assert any(held.as_datatype_enum in types for types in on_gpu), operation


def test_strings_stay_strings() -> None:
    assert array_dtype(tf.string, on_gpu=True) == tf.string
