"""Nests of tensors as plain dense buffers, and back.

In the graph, each output becomes components that can be joined along their first axis, batch by
batch: a dense tensor is one component, a ragged tensor its row lengths and its values. On the host,
`encode` turns the components of an output into the arrays that travel to the chief, and there
`decode` turns them into rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from disteval.errors import DataError

# Dtype and shape of an array that travels.
ArrayForm = tuple[str, tuple[int, ...]]


class Leaf(NamedTuple):
    """What is known of one output before any batch ran.

    Attributes:
        dtype: Name of the TensorFlow dtype.
        inner: Shape of a row, if it is known and the same for all rows; else `None`.
        ragged_rank: Number of ragged dimensions; 0 for a dense tensor.
    """

    dtype: str
    inner: tuple[int, ...] | None
    ragged_rank: int

    @classmethod
    def of(cls, output: Any) -> Leaf:
        """Describes an output of the model or of `postprocess`.

        Raises:
            DataError: It is not a tensor with one row for each sample.
        """
        if isinstance(output, tf.RaggedTensor):
            inner = output.flat_values.shape[1:]
            return cls(output.dtype.name, _static(inner), output.ragged_rank)
        if isinstance(output, tf.Tensor) and output.shape.rank != 0:
            return cls(output.dtype.name, _static(output.shape[1:]), 0)
        raise DataError(
            f"An output is not a tensor with one row for each sample. Received: {output!r}. "
            "Expected: tensors (tf.Tensor or tf.RaggedTensor) whose first dimension is the batch; "
            "convert the output in `postprocess`."
        )

    def merged(self, other: Leaf) -> Leaf:
        """Returns what is known of the rows of two ranks together.

        Raises:
            DataError: They are of different kinds.
        """
        if (self.dtype, self.ragged_rank) != (other.dtype, other.ragged_rank):
            raise DataError(
                f"An output differs between ranks or batches. Received: {self} and {other}. "
                "Expected: the same dtype and the same number of ragged dimensions everywhere."
            )
        return self._replace(inner=self.inner if self.inner == other.inner else None)

    @property
    def is_dense(self) -> bool:
        """Whether all rows form one array."""
        return not self.ragged_rank and self.inner is not None and self.dtype != "string"

    @property
    def numpy_dtype(self) -> Any:
        """The NumPy dtype of a value."""
        return tf.as_dtype(self.dtype).as_numpy_dtype


def components(output: Any) -> list[tf.Tensor]:
    """Returns the dense tensors of which an output consists; each can be joined along axis 0."""
    if isinstance(output, tf.RaggedTensor):
        lengths = output.nested_row_lengths()
        return [*(tf.cast(level, tf.int64) for level in lengths), output.flat_values]
    return [output]


def encode(leaf: Leaf, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Returns the components of some rows as arrays that can travel."""
    if leaf.ragged_rank == 0 and leaf.inner is None:
        # The shape of a row may differ between batches, so each row carries its own.
        (values,) = arrays
        shapes = np.tile(np.array(values.shape[1:], np.int64), (len(values), 1))
        arrays = [shapes, values.reshape(-1)]
    if leaf.dtype == "string":
        *others, strings = arrays
        flat = strings.reshape(-1)
        lengths = np.fromiter(map(len, flat), np.int64, len(flat)).reshape(strings.shape)
        arrays = [*others, lengths, np.frombuffer(b"".join(flat), np.uint8)]
    return arrays


def decode(leaf: Leaf, arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the rows that `encode` turned into `arrays`, as an array or an array of rows."""
    arrays = list(arrays)
    if leaf.dtype == "string":
        arrays[-2:] = [_decode(*arrays[-2:])]
    values = arrays.pop()
    if leaf.ragged_rank == 0 and leaf.inner is None:
        return _split_by_shape(values, arrays[0])
    for lengths in reversed(arrays):
        values = as_objects(_split(values, lengths))
    return values


def _static(shape: tf.TensorShape) -> tuple[int, ...] | None:
    return tuple(shape) if shape.is_fully_defined() else None


def _decode(lengths: np.ndarray, data: np.ndarray) -> np.ndarray:
    return as_objects(_split(data.tobytes(), lengths.reshape(-1))).reshape(lengths.shape)


def _split(values: Any, lengths: np.ndarray) -> list[Any]:
    # Slicing by Python integers is faster than by NumPy integers.
    edges = [0, *np.cumsum(lengths).tolist()]
    return [values[start:stop] for start, stop in itertools.pairwise(edges)]


def _split_by_shape(values: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    rows = _split(values, np.prod(shapes, axis=1, dtype=np.int64))
    return as_objects([row.reshape(shape) for row, shape in zip(rows, shapes, strict=True)])


def as_objects(rows: Sequence[Any] | np.ndarray) -> np.ndarray:
    """Returns an object array whose element i is `rows[i]`, whatever the rows are."""
    return np.fromiter(rows, object, len(rows))
