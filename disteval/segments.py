"""Shards and segments: what a rank evaluates, and how much of it in one call."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from disteval.batches import num_rows

# Bytes of one replica in one call. Some are in memory several times; those of outputs beside the
# predictions themselves, whose size limits what an evaluation should take.
INPUT_BYTES = 32 << 20
OUTPUT_BYTES = 4 << 20
# Seconds that a call should take.
TARGET_SECONDS = 0.5
# Turns of each rank, on average, after which the pattern of weighted turns repeats itself.
TURNS = 16


@dataclasses.dataclass(frozen=True)
class Segment:
    """Consecutive batches that one replica evaluates in one call.

    Attributes:
        index: int64 of shape `(rows,)`: which sample of the data each row is.
        batch: Nest of arrays or tensors of shape `(rows, ...)`, as `model.predict_step` takes it.
        splits: int64 of shape `(batches + 1,)`: batch i is rows `splits[i]` to `splits[i + 1]`.
    """

    index: np.ndarray
    batch: Any
    splits: np.ndarray


def shard_bounds(num_samples: int, shard_index: int, num_shards: int) -> tuple[int, int]:
    """Returns the first and last + 1 of the contiguous samples that a shard holds.

    Shards differ by one sample at most, the larger ones come first, and together they cover each
    of `num_samples` once.
    """
    size, larger = divmod(num_samples, num_shards)
    start = shard_index * size + min(shard_index, larger)
    return start, start + size + (shard_index < larger)


@dataclasses.dataclass(frozen=True)
class Shard:
    """Which part of the data a rank evaluates.

    Attributes:
        rank: The rank.
        size: The number of ranks.
        weights: How much each rank evaluates, relative to the others; `None` for equal parts.
    """

    rank: int
    size: int
    weights: tuple[float, ...] | None = None

    def bounds(self, count: int) -> tuple[int, int]:
        """Returns the first and last + 1 of the contiguous things, of `count`, that are its."""
        if self.weights is None:
            return shard_bounds(count, self.rank, self.size)
        edges = np.cumsum((0.0, *self.weights)) / sum(self.weights) * count
        start, stop = np.rint(edges[self.rank : self.rank + 2]).astype(int)
        return int(start), int(stop)

    def turns(self) -> np.ndarray:
        """Returns which of the next things are its, where ranks take turns; again and again.

        Returns:
            bool of shape `(size,)`, or longer where ranks have more than one turn.
        """
        if self.weights is None:
            return np.arange(self.size) == self.rank
        # Smooth weighted round robin: turns in proportion to the weights, spread evenly.
        weights = np.array(self.weights) / sum(self.weights)
        credit, owners = np.zeros(self.size), []
        for _ in range(TURNS * self.size):
            credit += weights
            owners.append(int(np.argmax(credit)))
            credit[owners[-1]] -= 1
        return np.array(owners) == self.rank


WHOLE = Shard(0, 1)


@dataclasses.dataclass(frozen=True)
class Split:
    """How the replicas of one process divide what it evaluates.

    Attributes:
        replicas: The number of replicas of the process.
        weights: How much each evaluates, relative to the others; `None` for equal parts.
    """

    replicas: int
    weights: tuple[float, ...] | None = None

    def total(self, most: int) -> int:
        """Returns how much they evaluate together if none evaluates more than `most`."""
        weights = self.weights or (1.0,) * self.replicas
        return int(most * sum(weights) / max(weights))

    def bounds(self, count: int) -> list[tuple[int, int]]:
        """Returns the first and last + 1 of each part of `count` things; none is empty."""
        shards = (Shard(i, self.replicas, self.weights) for i in range(self.replicas))
        bounds = (shard.bounds(count) for shard in shards)
        return [(start, stop) for start, stop in bounds if stop > start]


class Pace:
    """How many batches a replica evaluates in one call, so that calls take half a second.

    That is how long an interrupt, a failed peer and the progress bar have to wait.
    """

    def __init__(self) -> None:
        self._last = 1
        self._seconds = 0.0
        self._output_bytes = 0.0

    def batches(self, input_bytes: int) -> int:
        """Returns the number of batches for the next call.

        Args:
            input_bytes: Bytes of a batch.
        """
        by_memory = min(
            INPUT_BYTES / max(input_bytes, 1), OUTPUT_BYTES / max(self._output_bytes, 1)
        )
        by_time = TARGET_SECONDS / self._seconds if self._seconds else 1
        # The first calls of a model are slow, and say little of those to come.
        return max(int(min(by_memory, by_time, self._last * 8)), 1)

    def took(self, batches: int, seconds: float, output_bytes: int) -> None:
        """Takes note of a call of so many batches on each replica."""
        self._last = batches
        self._seconds = seconds / batches
        self._output_bytes = output_bytes / batches


def join(batches: Sequence[tuple[int | np.ndarray, Any]]) -> Segment:
    """Returns batches, each with the number of its first sample or of all, as one segment."""
    rows = [num_rows(batch) for _, batch in batches]
    index = [
        first if isinstance(first, np.ndarray) else np.arange(first, first + count)
        for (first, _), count in zip(batches, rows, strict=True)
    ]
    joined = batches[0][1]
    if len(batches) > 1:
        nests = [batch for _, batch in batches]
        joined = tf.nest.map_structure(lambda *leaves: tf.concat(leaves, axis=0), *nests)
    return Segment(np.concatenate(index), joined, np.cumsum([0, *rows]))
