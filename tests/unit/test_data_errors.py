"""Validation data that cannot be evaluated is refused, in words that say what it should be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf

from disteval import data
from disteval.errors import DataError
from disteval.segments import Shard

X = np.arange(180, dtype=np.float32).reshape(60, 3)
Y = np.arange(60)


def dataset(samples: int) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((X[:samples], Y[:samples]))


REFUSED: dict[str, tuple[Any, str]] = {
    "infinite dataset": (dataset(3).repeat(), r"infinite.*finite.*`\.repeat\(\)`.*num_samples"),
    "empty dataset": (dataset(3).take(0), "empty tf.data.Dataset"),
    "empty arrays": ((X[:0], Y[:0]), "empty.*one sample at least"),
    "unequal lengths": ((X[:5], Y[:4]), "unequal lengths.*5, 4 rows.*as many in each"),
    "unequal weights": ((X, Y, np.ones(61)), "unequal lengths.*60, 60, 61 rows"),
    "list of numbers": ([1, 2, 3], r"a leaf of type int.*np\.asarray"),
    "lists in a tuple": ((X, [1.0, 2.0]), r"a leaf of type float.*np\.asarray"),
    "scalar array": (np.array(3), "a leaf of type ndarray.*arrays or nests of arrays"),
    "scalar tensor": (tf.constant(3), "a leaf of type EagerTensor.*arrays or nests of arrays"),
    "sparse matrix": (scipy.sparse.csr_matrix(X), r"a leaf of type csr_matrix.*toarray\(\)"),
    "sparse tensor": (tf.sparse.from_dense(X), "a leaf of type SparseTensor"),
    "None in a tuple": ((X, None), "a leaf of type NoneType"),
    "None": (None, "validation_data of NoneType.*tf.data.Dataset.*PyDataset.*fn"),
    "generator": ((x for x in X), "validation_data of generator.*finite tf.data.Dataset"),
    "path": ("/data/val", "validation_data of str"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_data(kind: str) -> None:
    given, message = REFUSED[kind]
    with pytest.raises(DataError, match=message):
        data.as_source(given)


@pytest.mark.parametrize("name", ["num_samples", "batch_size"])
@pytest.mark.parametrize("value", [0, -1, 2.0, "3"])
def test_refused_sizes(name: str, value: object) -> None:
    with pytest.raises(DataError, match=rf"{name}={value!r}.*positive integer or None"):
        data.as_source(X, **{name: value})


@pytest.mark.parametrize(
    ("fn", "received"),
    [
        (lambda index, count: dataset(3), "float32"),
        (lambda index, count: dataset(3).map(lambda x, y: x), "TensorSpec"),
        (lambda index, count: X, "0."),
        (lambda index, count: None, "None"),
    ],
)
def test_refused_function(fn: Callable[[int, int], Any], received: str) -> None:
    with pytest.raises(
        DataError,
        match=rf"(?s)validation_data\(1, 2\) returned .*{received}.*\(index, \(x, y\)\).*integer",
    ):
        list(data.as_source(fn).batches(Shard(1, 2)))


def test_refused_function_out_of_order() -> None:
    def backwards(index: int, count: int) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices((np.arange(3)[::-1], (X[:3], Y[:3])))

    with pytest.raises(DataError, match=r"yields sample 2 at position 0.*in order"):
        list(data.as_source(backwards).samples())


def test_data_that_turns_out_to_be_empty() -> None:
    nothing = dataset(3).filter(lambda x, y: False)
    with pytest.raises(DataError, match=r"empty.*one sample at least"):
        data.as_source(nothing).first()
