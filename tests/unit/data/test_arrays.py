"""What arrays of validation data hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from disteval.data.arrays import as_arrays, check_complex
from disteval.errors import DataError

keras = tf.keras


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(3, bool), np.zeros((3, 2), np.uint8), np.zeros(3, np.float16),
        np.zeros(3, tf.bfloat16.as_numpy_dtype), np.array(["a", "b"]), np.array([b"a", b"b"]),
        np.array(["a", b"b"], object), tf.zeros([3]), tf.ragged.constant([[1], [2, 3]]),
    ],
    ids=lambda a: f"{type(a).__name__}-{getattr(a, 'dtype', '')}",
)  # fmt: skip
def test_what_stays_as_it_is(array: Any) -> None:
    nest = ({"a": array}, [array])
    found = as_arrays(nest)
    assert found[0]["a"] is found[1][0] is array


def objects(*items: Any) -> np.ndarray:
    array = np.empty(len(items), object)
    array[:] = items
    return array


def test_arrays_of_arrays_become_ragged() -> None:
    rows = [np.ones((2, 4)), np.zeros((0, 4)), np.zeros(0), np.full((1, 4), 3.0)]
    (found,) = as_arrays((objects(*rows),))
    assert isinstance(found, tf.RaggedTensor)
    assert found.row_lengths().numpy().tolist() == [2, 0, 0, 1]
    assert found.shape.as_list() == [4, None, 4]
    np.testing.assert_array_equal(found[3], rows[3])
    assert as_arrays(objects([1, 2], (3,))).to_list() == [[1, 2], [3]]
    assert as_arrays(objects([], [])).to_list() == [[], []]


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.array(["2026-01-01"], "datetime64[D]"), "datetime64"),
        (np.array([1], "timedelta64[s]"), "timedelta64"),
        (np.zeros(2, [("a", int), ("b", float)]), r"an array of \[\('a'"),
        (objects({"a": 1}, {"a": 2}), r"an object array of shape \(2,\) with dict in it"),
        (objects(None, "a"), "with NoneType, str in it"),
        (objects("a", 1.5), "with float, str in it"),
        (objects([1], None), "with NoneType, list in it"),
        (np.array([[[1], [2, 3]], [[4], [5]]], object), "with list in it"),
        (objects(np.zeros((2, 3)), np.zeros((2, 4))), r"arrays of shapes \[\(3,\), \(4,\)\]"),
        (objects(["a"], ["b"]), "object array with arrays"),
    ],
    ids=str,
)  # fmt: skip
def test_what_a_model_cannot_read(array: Any, told: str) -> None:
    with pytest.raises(DataError, match=rf"cannot read\. Received: .*{told}.*tf\.RaggedTensor"):
        as_arrays((np.zeros(3), {"y": array}))


@pytest.mark.parametrize("nest", [(), {}, [], ((), {})])
def test_nothing(nest: Any) -> None:
    with pytest.raises(
        DataError, match=r"validation_data is empty. Received: .*Expected: \(x, y\)"
    ):
        as_arrays(nest)


def test_complex_numbers_need_a_model_that_takes_them() -> None:
    real = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    taking = keras.Sequential([keras.Input((2,), dtype="complex64"), keras.layers.Flatten()])
    for model in (None, real, taking):
        check_complex(np.float32, model)
    check_complex(tf.complex64, taking)
    for dtype in (np.dtype("complex128"), tf.complex64):
        with pytest.raises(
            DataError, match=r"Received: an array of complex\d+ for a model without"
        ):
            check_complex(dtype, real)
