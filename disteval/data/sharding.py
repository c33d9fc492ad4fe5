"""Shards and segments: what a rank evaluates, and how much of it in one call."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from disteval.backends.prefetch import Wait
from disteval.data.batches import num_rows

# Bytes that one replica evaluates in one call. Inputs are in memory several times at once, and
# outputs beside the predictions of the whole evaluation.
INPUT_BYTES = 32 << 20
OUTPUT_BYTES = 4 << 20
# Seconds that a call should take.
TARGET_SECONDS = 0.5


@dataclasses.dataclass(frozen=True)
class Segment:
    """Consecutive batches that one replica evaluates in one call.

    Attributes:
        index: int64 of shape `(rows,)`: which sample of the data each row is.
        batch: Nest of arrays or tensors of shape `(rows, ...)`, as `model.predict_step` takes it.
        offsets: int64 of shape `(batches + 1,)`: batch i is rows `offsets[i]` to
            `offsets[i + 1] - 1`.
    """

    index: np.ndarray
    batch: Any
    offsets: np.ndarray


def shard_bounds(num_samples: int, shard_index: int, num_shards: int) -> tuple[int, int]:
    """Returns the range of the contiguous samples that a shard holds.

    Shards differ by one sample at most, the larger ones come first, and together they cover each
    of `num_samples` once.

    Returns:
        Number of the first sample, and of the last sample + 1.
    """
    size, larger = divmod(num_samples, num_shards)
    start = shard_index * size + min(shard_index, larger)
    return start, start + size + (shard_index < larger)


def parts(count: int, num_parts: int) -> list[tuple[int, int]]:
    """Returns the bounds of each part where `count` items are divided; no part is empty."""
    bounds = (shard_bounds(count, i, num_parts) for i in range(num_parts))
    return [(start, stop) for start, stop in bounds if stop > start]


@dataclasses.dataclass(frozen=True)
class Shard:
    """Which part of the data a rank evaluates.

    Attributes:
        rank: The rank.
        size: The number of ranks.
        shares: How much each rank evaluates, relative to the others; `None` for equal parts.
    """

    rank: int
    size: int
    shares: tuple[float, ...] | None = None

    def bounds(self, count: int, work: np.ndarray | None = None) -> tuple[int, int]:
        """Returns the range of this shard where `count` items are divided into contiguous parts.

        Args:
            count: The number of items.
            work: The work of each item; `None` if it is the same for all.

        Returns:
            Number of the first item, and of the last item + 1.
        """
        if self.shares is None and work is None:
            return shard_bounds(count, self.rank, self.size)
        fractions = np.cumsum((0.0, *self._shares)) / sum(self._shares)
        if work is None:
            edges = np.rint(fractions * count)
        else:
            # An item belongs to the part in which the middle of its work lies.
            done = np.cumsum(work)
            edges = np.searchsorted(done - work / 2, fractions * done[-1])
        start, stop = edges[self.rank : self.rank + 2].astype(int)
        return int(start), int(stop)

    def turns(self) -> Turns:
        """Returns the turns of this shard's rank where ranks take turns, item by item."""
        return Turns(self.rank, self._shares)

    @property
    def _shares(self) -> tuple[float, ...]:
        return self.shares or (1.0,) * self.size


class Turns:
    """Which items a rank takes, of items whose work is known one after the other.

    An item goes to the rank that would be done with it first. Where all items are equal, that is
    one rank after the other. Every rank has to ask for each item, and finds the same.

    Args:
        rank: The rank.
        shares: How much each rank evaluates, relative to the others.
    """

    def __init__(self, rank: int, shares: Sequence[float]) -> None:
        self._rank = rank
        self._shares = np.array(shares)
        self._work = np.zeros(len(shares))

    def takes(self, work: float) -> bool:
        """Returns whether the next item, which has so much work, belongs to the rank."""
        taker = int(np.argmin((self._work + work) / self._shares))
        self._work[taker] += work
        return taker == self._rank


WHOLE = Shard(0, 1)


class Pace:
    """How many batches a replica evaluates in one call, so that calls take half a second.

    An interrupt, the failure of a peer and the progress bar have to wait for the end of a call.

    Args:
        limit: The most batches of a call; `None` for any number.

    Attributes:
        wait: The wait of the replicas for input.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.wait = Wait()
        self._limit = limit
        self._last = 1
        self._seconds = 0.0
        self._output_bytes = 0.0

    def batches(self, input_bytes: int) -> int:
        """Returns the number of batches for the next call.

        Args:
            input_bytes: Bytes of a batch.
        """
        if self._limit is not None:
            return self._limit
        by_memory = min(
            INPUT_BYTES / max(input_bytes, 1), OUTPUT_BYTES / max(self._output_bytes, 1)
        )
        by_time = TARGET_SECONDS / self._seconds if self._seconds else 1
        # The first calls of a model are slow, so that their time says little of later calls.
        return max(int(min(by_memory, by_time, self._last * 8)), 1)

    def took(self, batches: int, seconds: float, output_bytes: int) -> None:
        """Records that a call of `batches` batches on each replica took `seconds`."""
        self._last = batches
        self._seconds = seconds / batches
        self._output_bytes = output_bytes / batches


def join(batches: Sequence[tuple[int | np.ndarray, Any]]) -> Segment:
    """Joins batches, each with the number of its first sample or of all, into one segment."""
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
