"""The rows of one output that one rank evaluated, copied out of TensorFlow's memory."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from disteval.errors import DataError
from disteval.inference.wire import ArrayForm, Leaf, encode

# Pieces of at least this size, in bytes, get their own mmap.
MAPPED_BYTES = 1 << 16


class OutputRows:
    """The rows of one output on one rank, until they travel.

    Dense rows of one shape go straight to their place in one array. On the chief the array is in
    dataset order and has room for the rows of the other ranks; elsewhere it is in the order of
    evaluation. All other rows stay in the chunks in which they came.

    Args:
        capacity: How many rows the array may need; `None` for chunks, if that is not known.

    Attributes:
        final: The array, or `None` for chunks.
        chunks: The components of each chunk.
    """

    def __init__(self, capacity: int | None = None) -> None:
        self.final: np.ndarray | None = None
        self.chunks: list[list[np.ndarray]] = []
        self._capacity = capacity
        self._places: list[np.ndarray] = []

    def append(self, places: np.ndarray, arrays: Sequence[np.ndarray]) -> None:
        """Adds rows.

        Args:
            places: Which rows of the array these are; int64 of shape `(rows,)`.
            arrays: The components of the rows.
        """
        first = arrays[0]
        if self._capacity is not None and not self._places and not self.chunks:
            if len(arrays) == 1 and first.dtype != object:
                # Pages of an empty array take no memory until rows are written to them.
                self.final = np.empty((self._capacity, *first.shape[1:]), first.dtype)
        elif self.final is not None and first.shape[1:] != self.final.shape[1:]:
            self.to_chunks()
        if self.final is None:
            self.chunks.append([_copy(array) for array in arrays])
        else:
            place(self.final, places, first)
            self._places.append(places)

    def encode(self, leaf: Leaf) -> Leaf:
        """Turns the components into the arrays that travel, once all rows have come.

        Args:
            leaf: What the graph knows of the output.

        Returns:
            What the rows tell in addition.

        Raises:
            DataError: The rows of a batch have another shape than those of the first batch.
        """
        inner = {array.shape[1:] for array in self._dense()}
        if not leaf.ragged_rank and leaf.inner is None and len(inner) == 1:
            leaf = leaf._replace(inner=inner.pop())
        if leaf.is_dense and self.final is not None:
            return leaf
        self.to_chunks()
        self.chunks = [encode(leaf, chunk) for chunk in self.chunks]
        shapes = [[array.shape[1:] for array in chunk] for chunk in self.chunks]
        for other in shapes[1:]:
            if other != shapes[0]:
                raise DataError(
                    "The rows of one output differ in shape between batches. Received: rows of "
                    f"shape {other[-1]} after rows of shape {shapes[0][-1]}. Expected: the same "
                    "shape in all batches; convert the output in `postprocess`."
                )
        return leaf

    def to_chunks(self) -> None:
        """Turns the array into chunks, since rows of another shape follow."""
        if self.final is not None:
            self.chunks = [[self.final[places]] for places in self._places]
            self.final = None

    def forms(self) -> list[ArrayForm]:
        """Returns dtype and shape of each array that travels."""
        return [
            (parts[0].dtype.name, (sum(map(len, parts)), *parts[0].shape[1:]))
            for parts in self._parts()
        ]

    def buffers(self) -> Iterator[np.ndarray]:
        """Yields what travels, array after array."""
        for parts in self._parts():
            yield from parts

    def _dense(self) -> Sequence[np.ndarray]:
        """Returns the rows, before they are encoded, of an output that is not ragged."""
        return [self.final] if self.final is not None else [chunk[0] for chunk in self.chunks]

    def _parts(self) -> Iterable[Sequence[np.ndarray]]:
        """Returns the pieces of each array that travels."""
        if self.final is not None:
            return [[self.final[: sum(map(len, self._places))]]]
        return zip(*self.chunks, strict=True)


def place(final: np.ndarray, index: np.ndarray, rows: np.ndarray) -> None:
    """Writes rows to their places in an array of all samples."""
    if is_run(index):
        final[index[0] : index[-1] + 1] = rows
    else:
        final[index] = rows


def is_run(index: np.ndarray) -> bool:
    """Whether the rows are consecutive samples, in order."""
    return len(index) > 0 and bool(np.all(np.diff(index) == 1))


def _copy(array: np.ndarray) -> np.ndarray:
    """Copies an array to memory that returns to the system when the copy is freed."""
    if array.dtype == object or array.nbytes < MAPPED_BYTES:
        return np.array(array)
    # malloc may keep freed memory of this size in the process.
    copy = np.ndarray(array.shape, array.dtype, mmap.mmap(-1, array.nbytes))
    copy[...] = array
    return copy
