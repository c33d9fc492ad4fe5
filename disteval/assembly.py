"""The rows that ranks evaluated, and how the chief puts those of all ranks together.

On each rank, `Rows` keeps what the loop returned for one output. `Assembly` puts the rows of all
ranks into dataset order on the chief.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from disteval.errors import DataError
from disteval.wire import Leaf, as_objects, decode, encode

# From how many bytes on a piece is memory of its own.
MAPPED_BYTES = 1 << 16


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
        self.chunks = [encode(leaf, chunk) for chunk in self.chunks]
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
            rows = as_objects(rows)
        place(self._final[i], index, rows)


def place(final: np.ndarray, index: np.ndarray, rows: np.ndarray) -> None:
    """Writes rows to their places in an array of all samples."""
    if _is_run(index):
        final[index[0] : index[-1] + 1] = rows
    else:
        final[index] = rows


def _copy(array: np.ndarray) -> np.ndarray:
    """Copies an array, to memory that is free for others when it is released."""
    if array.dtype == object or array.nbytes < MAPPED_BYTES:
        return np.array(array)
    # What malloc once gave away, it may keep for itself for ever.
    copy = np.ndarray(array.shape, array.dtype, mmap.mmap(-1, array.nbytes))
    copy[...] = array
    return copy


def _is_run(index: np.ndarray) -> bool:
    """Whether the rows are consecutive samples, in order."""
    return len(index) > 0 and bool(np.all(np.diff(index) == 1))


def _stacked(rows: np.ndarray) -> np.ndarray:
    """Returns rows as one array, where they have one shape."""
    return np.stack(list(rows)) if len({row.shape for row in rows}) == 1 else rows
