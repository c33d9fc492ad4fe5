"""What users give as data becomes a source, or is refused in words that say what it should be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf

from disteval.data.coercion import as_source, is_batched
from disteval.errors import DataError

keras = tf.keras
X = np.arange(180, dtype=np.float32).reshape(60, 3)
Y = np.arange(60)


def dataset(samples: int) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((X[:samples], Y[:samples]))


REFUSED: dict[str, tuple[Any, str]] = {
    "infinite dataset": (dataset(3).repeat(), r"infinite.*finite.*`\.repeat\(\)`.*num_samples"),
    "empty dataset": (dataset(3).take(0), "empty tf.data.Dataset"),
    "empty arrays": ((X[:0], Y[:0]), "empty.*at least one sample"),
    "unequal lengths": ((X[:5], Y[:4]), "unequal lengths.*5, 4 rows.*equally many in each"),
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
        as_source(given)


def spec(*shape: int | None) -> tf.TensorSpec:
    return tf.TensorSpec(shape)


DENSE = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
IMAGES = keras.Sequential([keras.Input((None, None, 1)), keras.layers.Dense(2)])
COLUMN = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)])
PAIR = [keras.Input((3,)), keras.Input((4,))]
TWO = keras.Model(PAIR, keras.layers.Concatenate()(PAIR))


class Subclassed(keras.Model):
    """A model that does not know the shape of its input."""


@pytest.mark.parametrize(
    ("element", "model", "batched"),
    [
        # The rank of the model's input decides where it is known ...
        ((spec(3), spec(3)), DENSE, False),
        ((spec(None, 3), spec(None)), DENSE, True),
        ((spec(32, 3), spec(32, 2)), DENSE, True),
        ((spec(8, 8, 1), spec(8, 8, 1)), IMAGES, False),
        ((spec(None, None, None, 1), spec(None)), IMAGES, True),
        (((spec(3), spec(4)), spec()), TWO, False),
        (((spec(None, 3), spec(None, 4)), spec(None)), TWO, True),
        ((spec(1), spec(1)), COLUMN, False),
        # ... unless Keras appends a last dimension ...
        ((spec(None), spec(None)), COLUMN, True),
        ((spec(32), spec(32)), COLUMN, True),
        ((spec(None, 8, 8), spec(None)), IMAGES, True),
        ((spec(), spec()), COLUMN, False),
        # ... and the shapes where it is not.
        ((spec(3), spec()), Subclassed(), False),
        ((spec(3), spec()), keras.Sequential([keras.layers.Dense(2)]), False),
        ((spec(3), spec()), None, False),
        ((spec(28, 28), spec(10)), None, False),
        ((spec(None, 3), spec(None)), Subclassed(), True),
        ((spec(32, 3), spec(32)), None, True),
        (spec(32, 3), None, True),
        ({"a": spec(3), "b": spec(2)}, None, False),
        ((tf.RaggedTensorSpec([None, None]), spec(None)), None, True),
        # Of a batch of unknown size, some tensors may know it: nothing differs here.
        ((spec(32, 3), spec(None)), None, True),
    ],
)
def test_is_batched(element: Any, model: Any, batched: bool) -> None:
    assert is_batched(element, model) is batched
