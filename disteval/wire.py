"""Nests of tensors <-> plain dense buffers.

In the graph, each output becomes components that join batch by batch along their first axis: a
dense tensor is one, a ragged tensor is its row lengths and its values. On the host, `Rows` keeps
the components of one output, as the arrays that travel to the chief. There, `Assembly` puts the
rows of all ranks into dataset order.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from disteval.errors import DataError

# From how many bytes on a piece is memory of its own.
MAPPED_BYTES = 1 << 16


class Leaf(NamedTuple):
    """What is known of one output before any batch ran.

    Attributes:
        dtype: Name of the TensorFlow dtype.
        inner: Shape of a row, where that is known and the same for all; else `None`.
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
            f"Received: an output {output!r}. Expected tensors (tf.Tensor or tf.RaggedTensor) "
            "whose first dimension is the batch; convert the output in `postprocess`."
        )

    def merged(self, other: Leaf) -> Leaf:
        """Returns what holds for the rows of two ranks.

        Raises:
            DataError: They are of different kinds.
        """
        if (self.dtype, self.ragged_rank) != (other.dtype, other.ragged_rank):
            raise DataError(
                f"Received: {self} on one rank and {other} on another for the same output. "
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
    """Returns the dense tensors that an output consists of; each can be joined along axis 0."""
    if isinstance(output, tf.RaggedTensor):
        lengths = output.nested_row_lengths()
        return [*(tf.cast(level, tf.int64) for level in lengths), output.flat_values]
    return [output]


class Rows:
    """The rows of one output that one rank evaluated, copied out of TensorFlow's memory.

    Dense rows of one shape go straight to their place in one array: in dataset order on the
    chief, which adds those of the other ranks to it, and there in the order in which they came.
    All others stay in the pieces in which they came until they travel.

    Args:
        capacity: How many rows the array may need; `None` for pieces, where that is not known.

    Attributes:
        final: The array, or `None` where there is none.
        chunks: The components of each piece.
    """

    def __init__(self, capacity: int | None = None) -> None:
        self.final: np.ndarray | None = None
        self.chunks: list[list[np.ndarray]] = []
        self._capacity = capacity
        self._places: list[np.ndarray] = []

    def append(self, places: np.ndarray, arrays: Sequence[np.ndarray]) -> None:
        """Adds the components of some rows, and says which rows of the array these are."""
        first = arrays[0]
        if self._capacity is not None and not self._places and not self.chunks:
            if len(arrays) == 1 and first.dtype != object:
                # Pages of an empty array cost nothing until rows are written to them.
                self.final = np.empty((self._capacity, *first.shape[1:]), first.dtype)
        elif self.final is not None and first.shape[1:] != self.final.shape[1:]:
            self.take_back()
        if self.final is None:
            self.chunks.append([_copy(array) for array in arrays])
        else:
            place(self.final, places, first)
            self._places.append(places)

    def encode(self, leaf: Leaf) -> Leaf:
        """Turns the components into the arrays that travel, once all rows are there.

        Args:
            leaf: What the graph knows of the output.

        Returns:
            What is known of it now.

        Raises:
            DataError: The rows of a batch do not fit to the rows of the first one.
        """
        inner = {array.shape[1:] for array in self._dense()}
        if not leaf.ragged_rank and leaf.inner is None and len(inner) == 1:
            leaf = leaf._replace(inner=inner.pop())
        if leaf.is_dense and self.final is not None:
            return leaf
        self.take_back()
        self.chunks = [_encode(leaf, chunk) for chunk in self.chunks]
        shapes = [[array.shape[1:] for array in chunk] for chunk in self.chunks]
        for other in shapes[1:]:
            if other != shapes[0]:
                raise DataError(
                    f"Received: rows of shape {other[-1]} after rows of shape {shapes[0][-1]} in "
                    "one output. Expected: the same shape in all batches; convert the output in "
                    "`postprocess`."
                )
        return leaf

    def take_back(self) -> None:
        """Turns the array into pieces, since other rows do not fit to it."""
        if self.final is not None:
            self.chunks = [[self.final[places]] for places in self._places]
            self.final = None

    def describe(self) -> list[tuple[str, list[int]]]:
        """Returns dtype and shape of each array that travels."""
        return [
            (parts[0].dtype.name, [sum(map(len, parts)), *parts[0].shape[1:]])
            for parts in self._parts()
        ]

    def buffers(self) -> Iterator[np.ndarray]:
        """Yields what travels, array after array."""
        for parts in self._parts():
            yield from parts

    def _dense(self) -> Sequence[np.ndarray]:
        """Returns what came before it was encoded, of an output that is not ragged."""
        return [self.final] if self.final is not None else [chunk[0] for chunk in self.chunks]

    def _parts(self) -> Iterable[Sequence[np.ndarray]]:
        """Returns the pieces of each array that travels."""
        if self.final is not None:
            return [[self.final[: sum(map(len, self._places))]]]
        return zip(*self.chunks, strict=True)


def decode(leaf: Leaf, arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the rows that the arrays of `Rows` describe, as an array or an array of rows."""
    arrays = list(arrays)
    if leaf.dtype == "string":
        arrays[-2:] = [_decode(*arrays[-2:])]
    values = arrays.pop()
    if leaf.ragged_rank == 0 and leaf.inner is None:
        return _split_by_shape(values, arrays[0])
    for lengths in reversed(arrays):
        values = _as_objects(_split(values, lengths))
    return values


class Assembly:
    """The rows of all ranks, put into dataset order on the chief.

    Dense outputs go straight to their place in one array of all samples.

    Args:
        leaves: What holds for the rows of all ranks.
        num_samples: How many rows there are.
        index: Which sample each row of the chief itself is.
        own_leaves: What holds for these.
        own: These, encoded, for each output; they are released on the way.
    """

    def __init__(
        self,
        leaves: Sequence[Leaf],
        num_samples: int,
        index: np.ndarray,
        own_leaves: Sequence[Leaf],
        own: Sequence[Rows],
    ) -> None:
        self._leaves = leaves
        self._landed: list[tuple[int, np.ndarray, Leaf, list[np.ndarray]]] = []
        self._final: list[np.ndarray] = []
        for i, leaf in enumerate(leaves):
            rows = own[i] if own else Rows()
            if leaf.is_dense and rows.final is not None:
                self._final.append(rows.final[:num_samples])
                continue
            rows.take_back()
            inner = None if leaf.ragged_rank else leaf.inner
            self._final.append(
                np.empty(num_samples, object)
                if inner is None
                else np.empty((num_samples, *inner), leaf.numpy_dtype)
            )
            if rows.chunks:
                self._add(i, index, own_leaves[i], rows)

    def _add(self, i: int, index: np.ndarray, leaf: Leaf, rows: Rows) -> None:
        if not leaf.is_dense:
            parts = [np.concatenate(part) for part in zip(*rows.chunks, strict=True)]
            rows.chunks.clear()
            self._place(i, index, decode(leaf, parts))
        start = 0
        while rows.chunks:  # released chunk by chunk
            (values,) = rows.chunks.pop(0)
            self._place(i, index[start : start + len(values)], values)
            start += len(values)

    def destinations(
        self, index: np.ndarray, leaves: Sequence[Leaf], described: Sequence[Any]
    ) -> Iterator[np.ndarray]:
        """Yields the arrays to fill with what a rank sends, in the order in which it does.

        Args:
            index: Which sample each row of that rank is.
            leaves: What that rank knows of each output.
            described: `Rows.describe` of each output there.
        """
        for i, (leaf, arrays) in enumerate(zip(leaves, described, strict=True)):
            if leaf.is_dense and leaf == self._leaves[i] and _is_run(index):
                yield self._final[i][index[0] : index[-1] + 1]
                continue
            landing = [np.empty(shape, tf.as_dtype(name).as_numpy_dtype) for name, shape in arrays]
            self._landed.append((i, index, leaf, landing))
            yield from landing

    def finish(self) -> list[np.ndarray]:
        """Returns the rows of each output in dataset order, once all destinations are full."""
        while self._landed:
            i, index, leaf, landing = self._landed.pop()
            self._place(i, index, decode(leaf, landing))
        return [
            _stacked(final) if leaf.inner is None and not leaf.ragged_rank else final
            for leaf, final in zip(self._leaves, self._final, strict=True)
        ]

    def _place(self, i: int, index: np.ndarray, rows: np.ndarray) -> None:
        leaf = self._leaves[i]
        if leaf.inner is None and not leaf.ragged_rank:
            rows = _as_objects(rows)
        place(self._final[i], index, rows)


class Filler:
    """Fills arrays one after the other from a stream of bytes."""

    def __init__(self, arrays: Sequence[np.ndarray]) -> None:
        self._targets = (bytes_of(array) for array in arrays)
        self._target = np.empty(0, np.uint8)

    def write(self, piece: np.ndarray) -> None:
        """Takes the next bytes of the stream; uint8."""
        while len(piece):
            if not len(self._target):
                self._target = next(self._targets)
            count = min(len(piece), len(self._target))
            self._target[:count] = piece[:count]
            self._target, piece = self._target[count:], piece[count:]


def place(final: np.ndarray, index: np.ndarray, rows: np.ndarray) -> None:
    """Writes rows to their places in an array of all samples."""
    if _is_run(index):
        final[index[0] : index[-1] + 1] = rows
    else:
        final[index] = rows


def bytes_of(array: np.ndarray) -> np.ndarray:
    """Returns the bytes of a contiguous array, without a copy."""
    return array.reshape(-1).view(np.uint8)


def _copy(array: np.ndarray) -> np.ndarray:
    """Copies an array, to memory that is free for others when it is released."""
    if array.dtype == object or array.nbytes < MAPPED_BYTES:
        return np.array(array)
    # What malloc once gave away, it may keep for itself for ever.
    copy = np.ndarray(array.shape, array.dtype, mmap.mmap(-1, array.nbytes))
    copy[...] = array
    return copy


def _static(shape: tf.TensorShape) -> tuple[int, ...] | None:
    return tuple(shape) if shape.is_fully_defined() else None


def _encode(leaf: Leaf, arrays: list[np.ndarray]) -> list[np.ndarray]:
    if leaf.ragged_rank == 0 and leaf.inner is None:
        # Rows may have another shape in each batch, so that each carries its own.
        (values,) = arrays
        shapes = np.tile(np.array(values.shape[1:], np.int64), (len(values), 1))
        arrays = [shapes, values.reshape(-1)]
    if leaf.dtype == "string":
        *others, strings = arrays
        flat = strings.reshape(-1)
        lengths = np.fromiter(map(len, flat), np.int64, len(flat)).reshape(strings.shape)
        arrays = [*others, lengths, np.frombuffer(b"".join(flat), np.uint8)]
    return arrays


def _decode(lengths: np.ndarray, data: np.ndarray) -> np.ndarray:
    ends = np.cumsum(lengths.reshape(-1))
    blob = data.tobytes()
    strings = [blob[end - n : end] for end, n in zip(ends, lengths.reshape(-1), strict=True)]
    return _as_objects(strings).reshape(lengths.shape)


def _split(values: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    ends = np.cumsum(lengths)
    return [values[end - n : end] for end, n in zip(ends, lengths, strict=True)]


def _split_by_shape(values: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    rows = _split(values, np.prod(shapes, axis=1, dtype=np.int64))
    return _as_objects([row.reshape(shape) for row, shape in zip(rows, shapes, strict=True)])


def _as_objects(rows: Sequence[Any] | np.ndarray) -> np.ndarray:
    """Returns an object array whose element i is `rows[i]`, whatever the rows are."""
    objects = np.empty(len(rows), object)
    for i, row in enumerate(rows):
        objects[i] = row
    return objects


def _is_run(index: np.ndarray) -> bool:
    """Whether the rows are consecutive samples, in order."""
    return len(index) > 0 and bool(np.all(np.diff(index) == 1))


def _stacked(rows: np.ndarray) -> np.ndarray:
    """Returns rows as one array, where they have one shape."""
    return np.stack(list(rows)) if len({row.shape for row in rows}) == 1 else rows
