"""Nests of rows: counted, cut, cast and copied to a device."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from disteval.data.batches import (
    ALIGNMENT,
    as_tensor,
    as_tuple,
    cut,
    first_row,
    kept,
    num_bytes,
    num_rows,
    same_shapes,
    split_element,
)
from disteval.data.coercion import as_source
from sample_data import Batches

X = np.arange(180, dtype=np.float32).reshape(60, 3)
Y = np.arange(60)[::-1].copy()
RAGGED = tf.RaggedTensor.from_row_lengths(tf.range(6.0), [1, 2, 3])


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        ((1, 2), (1, 2)),
        ((1, 2, 3), (1, 2)),
        ((1,), (1, None)),
        (1, (1, None)),
        ([1, 2], ([1, 2], None)),
        ({"a": 1}, ({"a": 1}, None)),
        (((1, 2), 3), ((1, 2), 3)),
    ],
)
def test_split_element(element: Any, expected: tuple[Any, Any]) -> None:
    assert split_element(element) == expected


def test_float_arrays_become_floatx_and_others_stay() -> None:
    arrays = (X.astype(np.float64), {"half": X.astype(np.float16), "int": Y.astype(np.uint8)})
    x, y = as_source(arrays).first()
    assert (x.dtype, y["half"].dtype, y["int"].dtype) == ("float32", "float32", "uint8")


def test_a_list_of_a_py_dataset_is_a_tuple() -> None:
    class Lists(Batches):
        def __getitem__(self, i: int) -> Any:
            return [*super().__getitem__(i), None]

    wanted = list(as_source(Batches((X, Y), [3, 2])).samples())
    for (x, y), (x_wanted, y_wanted) in zip(
        as_source(Lists((X, Y), [3, 2])).samples(), wanted, strict=True
    ):
        np.testing.assert_array_equal(x, x_wanted)
        assert y == y_wanted


def test_a_tuple_leaves_out_what_is_none() -> None:
    x, y = as_tuple([np.array([1, 2]), np.array([3, 4]), None])
    assert (x.tolist(), y.tolist()) == ([1, 2], [3, 4])


def test_rows_and_bytes_of_a_batch() -> None:
    batch = ({"a": X[:3], "b": RAGGED}, Y[:3])
    assert num_rows(batch) == num_rows(RAGGED) == 3
    # The values and the row splits of a ragged tensor both count.
    assert num_bytes(batch) == 3 * 3 * 4 + (6 * 4 + 4 * 8) + 3 * 8
    assert num_bytes(tf.constant(X)) == X.nbytes


def test_rows_are_cut_and_kept() -> None:
    x, y = cut((X, RAGGED), 2)
    assert (x.tolist(), y.to_list()) == (X[:2].tolist(), [[0], [1, 2]])
    keep = np.array([True, False, True])
    assert kept(RAGGED, keep).to_list() == [[0], [3, 4, 5]]
    assert kept(tf.constant([5, 6, 7]), keep).numpy().tolist() == [5, 7]


def test_runs_of_batches_of_one_shape() -> None:
    shapes = [(2, 3), (5, 3), (2, 4), (2, 3)]
    batches = [(i, np.zeros(shape)) for i, shape in enumerate(shapes)]
    assert [[i for i, _ in run] for run in same_shapes(batches)] == [[0, 1], [2], [3]]


@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8", "bool", "float16", "complex64"])
@pytest.mark.parametrize("shift", [0, 1])
def test_a_tensor_holds_a_copy(dtype: str, shift: int) -> None:
    array = np.arange(2 * ALIGNMENT).astype(dtype)[shift:]
    tensor = as_tensor(array)
    expected = array.copy()
    array[:] = 0
    np.testing.assert_array_equal(tensor.numpy(), expected)
    assert tensor.dtype == expected.dtype


def test_the_first_row_is_on_the_host() -> None:
    assert first_row(tf.constant([[1, 2], [3, 4]])).tolist() == [1, 2]
    assert first_row([7, 8]) == 7
    assert first_row(RAGGED).tolist() == [0]
