"""Batches, as nests of arrays and tensors with one row for each sample: counted, cut, cast."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

# TensorFlow's kernels need memory at an address that is a multiple of so many bytes.
ALIGNMENT = 64


def split_element(element: Any) -> tuple[Any, Any]:
    """Returns `(x, y)` of an element `(x, y)`, `(x, y, sample_weight)`, `(x,)` or `x`."""
    if not isinstance(element, tuple) or not 1 <= len(element) <= 3:
        return element, None
    return element[0], element[1] if len(element) > 1 else None


def num_rows(batch: Any) -> int:
    """Returns the number of samples of a batch."""
    leaf = tf.nest.flatten(batch)[0]
    return int(leaf.nrows()) if isinstance(leaf, tf.RaggedTensor) else len(leaf)


def num_bytes(batch: Any) -> int:
    """Returns the bytes of a batch."""
    leaves = tf.nest.flatten(batch, expand_composites=True)
    return sum(np.prod(leaf.shape) * leaf.dtype.size if isinstance(leaf, tf.Tensor) else leaf.nbytes
               for leaf in leaves)  # fmt: skip


def same_shapes(batches: Sequence[tuple[Any, Any]]) -> Iterator[list[tuple[Any, Any]]]:
    """Yields runs of consecutive batches whose rows have one shape, so that they can be joined."""
    for _, run in itertools.groupby(batches, key=lambda item: _inner_shapes(item[1])):
        yield list(run)


def _inner_shapes(batch: Any) -> list[Any]:
    return [
        (leaf.ragged_rank if isinstance(leaf, tf.RaggedTensor) else 0, tuple(leaf.shape[1:]))
        for leaf in tf.nest.flatten(batch)
    ]


def as_tuple(item: Any) -> Any:
    """Returns a batch of a PyDataset as a tuple, since Keras treats a list `[x, y]` as one."""
    if isinstance(item, list | tuple):
        item = tuple(part for part in item if part is not None)
    return tf.nest.map_structure(np.asarray, item)


def as_floatx(array: Any) -> Any:
    """Casts floating-point input to Keras' floatx, as Keras does with arrays."""
    if isinstance(array, tf.RaggedTensor):
        return array
    array = np.asarray(array)
    floatx = tf.keras.backend.floatx()
    return array.astype(floatx, copy=False) if np.issubdtype(array.dtype, np.floating) else array


def as_tensor(leaf: Any) -> Any:
    """Returns a leaf as a tensor on the device of the context."""
    if isinstance(leaf, np.ndarray) and leaf.dtype.kind in "iuf" and leaf.dtype.isnative:
        # tf.constant copies an array twice if its address is not aligned.
        leaf = tf.experimental.dlpack.from_dlpack(_aligned(leaf).__dlpack__())
    return tf.identity(leaf)


def _aligned(array: np.ndarray) -> np.ndarray:
    """Copies an array to an aligned address."""
    memory = np.empty(array.nbytes + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    copy = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def cut(batch: Any, rows: Any) -> Any:
    """Returns the first rows of a batch."""
    return tf.nest.map_structure(lambda a: a[:rows], batch)


def kept(tensor: Any, keep: np.ndarray) -> Any:
    """Returns the rows of a tensor for which `keep` is true."""
    mask = tf.ragged.boolean_mask if isinstance(tensor, tf.RaggedTensor) else tf.boolean_mask
    return mask(tensor, keep)


def first_row(rows: Any) -> Any:
    """Returns the first row, on the host."""
    return on_host(
        rows[0] if isinstance(rows, tf.Tensor | tf.RaggedTensor) else np.asarray(rows)[0]
    )


def on_host(value: Any) -> Any:
    """Returns a dense tensor as an array, and anything else as it is."""
    return value.numpy() if isinstance(value, tf.Tensor) else value
