"""Nests of arrays that users pass: what they may hold, and object arrays as ragged tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from disteval.data.sources import EXPECTED
from disteval.errors import DataError

# bool, integers, floats, and text. NumPy has no kind of its own for bfloat16 and float8.
KINDS = "biufSUV"


def as_arrays(nest: Any) -> Any:
    """Returns a nest of arrays with ragged tensors in the place of object arrays of arrays.

    Raises:
        DataError: The nest is empty, or holds something else than numbers and text.
    """
    leaves = tf.nest.flatten(nest)
    if not leaves:
        raise DataError(f"validation_data is empty. Received: {nest!r}. {EXPECTED}")
    return tf.nest.pack_sequence_as(nest, [_checked(leaf) for leaf in leaves])


def check_complex(dtype: Any, model: Any) -> None:
    """Raises a `DataError` for complex numbers, unless an input of the model is complex.

    Keras would drop their imaginary part.
    """
    takes_complex = any(tf.as_dtype(tensor.dtype).is_complex for tensor in inputs_of(model))
    given = tf.as_dtype(dtype)
    if given.is_complex and not takes_complex:
        raise DataError(
            f"validation_data holds complex numbers. Received: an array of {given.name} "
            "for a model without a complex input. Expected: real numbers, such as real and "
            "imaginary part side by side."
        )


def inputs_of(model: Any) -> list[Any]:
    """Returns the symbolic inputs of a model; empty if it does not know them."""
    return tf.nest.flatten(getattr(model, "inputs", None) or [])


def _checked(leaf: Any) -> Any:
    is_array = isinstance(leaf, tf.RaggedTensor) or hasattr(leaf, "__array__")
    if not is_array or not len(getattr(leaf, "shape", ())):
        hint = " For a list of numbers, use np.asarray." if np.isscalar(leaf) else ""
        if hasattr(leaf, "toarray"):  # a sparse matrix of SciPy
            hint = " For sparse input, use toarray(), or a dataset that calls it on each batch."
        raise DataError(
            "validation_data holds something that is not an array. Received: a leaf of type "
            f"{type(leaf).__name__}. {EXPECTED}{hint}"
        )
    if isinstance(leaf, tf.Tensor | tf.Variable | tf.RaggedTensor):
        return leaf
    # A part of a data frame is enough, as all of it might have to be copied.
    dtype = leaf.dtype if isinstance(leaf, np.ndarray) else np.asarray(leaf[:1]).dtype
    if dtype.kind == "O":
        return _from_objects(leaf)
    if dtype.names or dtype.kind not in KINDS + "c":
        raise _kind_error(f"an array of {dtype}")
    return leaf


def _from_objects(array: Any) -> Any:
    """Returns an array of text as it is, and an array of arrays as a ragged tensor."""
    items = list(np.asarray(array).reshape(-1))
    if all(isinstance(item, str | bytes) for item in items):
        return array
    are_arrays = all(isinstance(item, np.ndarray | list | tuple) for item in items)
    if not are_arrays or np.ndim(array) != 1:
        given = ", ".join(sorted({type(item).__name__ for item in items})[:3])
        raise _kind_error(f"an object array of shape {np.shape(array)} with {given} in it")
    rows = [np.asarray(item) for item in items]
    inner = {row.shape[1:] for row in rows if row.size}
    if len(inner) > 1 or any(row.dtype.kind not in "biuf" or not row.ndim for row in rows):
        raise _kind_error(
            f"an object array with arrays of shapes {sorted(inner)[:3]} after the first dimension"
        )
    inner_shape = next(iter(inner), rows[0].shape[1:])
    lengths = [len(row) for row in rows]
    # On the host, as all validation data is.
    with tf.device("/CPU:0"):
        values = np.concatenate([row.reshape(-1, *inner_shape) for row in rows])
        return tf.RaggedTensor.from_row_lengths(values, lengths)


def _kind_error(given: str) -> DataError:
    return DataError(
        f"validation_data holds what a model cannot read. Received: {given}. Expected: numbers, "
        "bools or text. Samples that differ in length may be a tf.RaggedTensor, padded, or an "
        "object array with an array for each sample, which differ in their first dimension only."
    )
