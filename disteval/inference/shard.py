"""One rank's part of an evaluation: runs its shard, and keeps the outputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from disteval.backends.agreement import NOTHING, Agreement
from disteval.backends.prefetch import Wait, prefetch
from disteval.backends.stream import bytes_of
from disteval.data.batches import num_bytes
from disteval.data.sharding import Segment
from disteval.data.work import work_of
from disteval.inference import receipts
from disteval.inference.loop import Loop
from disteval.inference.outputs import OutputRows
from disteval.inference.progress import Progress
from disteval.inference.receipts import Receipt
from disteval.inference.wire import ArrayForm, Leaf

# A rank's rows travel together with its report, in one round trip, if they have at most so many
# bytes. They are sent again with each sign of life while other ranks are still at work, so the
# limit is low.
SMALL_BYTES = 1 << 18
# Bytes of input that are read ahead, and into how many rounds at most.
AHEAD_BYTES = 64 << 20
AHEAD_ROUNDS = 4


@dataclasses.dataclass(frozen=True)
class ShardReport:
    """What a rank reports of the shard that it evaluated, before anything large travels.

    Attributes:
        receipt: Which samples it evaluated.
        leaves: What is known of each output; nothing if it evaluated no sample.
        forms: For each output, dtype and shape of each array that it sends.
        has_places: Whether its arrays have room for the rows of all ranks.
        num_bytes: How many bytes it sends to the chief.
        work: The work of its batches.
        seconds: How long its inference took.
        input_seconds: How long it waited for input in that time.
        extent: How much data it found; see `Source.extent`.
    """

    receipt: Receipt
    leaves: list[Leaf]
    forms: list[list[ArrayForm]]
    has_places: bool
    num_bytes: int
    work: int
    seconds: float
    input_seconds: float = 0.0
    extent: str | None = None


class ShardResults:
    """What this rank evaluated: which samples, and the rows of each output.

    Args:
        capacity: How many samples all ranks evaluate at most, if that is known.
        is_chief: Whether rows go to their place in dataset order.
        states: The sums of the metrics before the first batch.

    Attributes:
        index: The number of each sample, in the order of evaluation; int64 of shape `(rows,)`.
        outputs: The rows of each output; empty if no sample was evaluated.
        leaves: What is known of each output; empty if no sample was evaluated.
        states: The sums of the metrics over all batches.
        work: The work of all batches.
        wait: The wait for input.
    """

    def __init__(
        self, capacity: int | None, is_chief: bool, states: Sequence[np.ndarray] = ()
    ) -> None:
        self._capacity = capacity
        self._is_chief = is_chief
        self.wait = Wait()
        self.index = np.empty(0, np.int64)
        self.outputs: list[OutputRows] = []
        self.leaves: list[Leaf] = []
        self.states = list(states)
        self.work = 0

    def run(
        self,
        loop: Loop,
        rounds: Iterator[list[Segment]],
        agreement: Agreement,
        progress: Progress,
    ) -> None:
        """Evaluates all rounds, unless another rank fails."""
        indices = [self.index]
        loop.pace.wait = self.wait
        inputs = ((segments, loop.inputs(segments)) for segments in rounds)
        ahead = prefetch(inputs, agreement.check, self.wait, limit=AHEAD_BYTES, size=_size)
        for segments, tensors in ahead:
            agreement.check()
            for segment, result in zip(segments, loop.run(segments, tensors), strict=True):
                outputs = result.outputs
                self.work += work_of(segment.batch)
                self.outputs = self.outputs or [OutputRows(self._capacity) for _ in outputs]
                self.states = [a + b for a, b in zip(self.states, result.states, strict=True)]
                indices.append(segment.index)
                done, count = agreement.progress, len(segment.index)
                places = segment.index if self._is_chief else np.arange(done, done + count)
                for rows, components in zip(self.outputs, outputs, strict=True):
                    rows.append(places, components)
                agreement.progress += count
            progress.update(agreement.total_progress())
        self.index = np.concatenate(indices)
        leaves = loop.leaves if self.outputs else []
        self.leaves = [rows.encode(leaf) for leaf, rows in zip(leaves, self.outputs, strict=True)]

    def report(self, seconds: float, extent: str | None = None) -> ShardReport:
        """Returns what the other ranks have to know.

        Args:
            seconds: How long the inference took.
            extent: How much data there was; see `Source.extent`.
        """
        return ShardReport(
            receipt=receipts.write(self.index),
            leaves=self.leaves,
            forms=[rows.forms() for rows in self.outputs],
            has_places=all(rows.final is not None for rows in self.outputs or [OutputRows()]),
            num_bytes=sum(buffer.nbytes for buffer in self.buffers()),
            work=self.work,
            seconds=seconds,
            input_seconds=self.wait.seconds,
            extent=extent,
        )

    def payload(self, report: ShardReport) -> np.ndarray:
        """Returns the bytes that travel with the report: all, or none if there are too many."""
        buffers = self.buffers() if report.num_bytes <= SMALL_BYTES else []
        return np.concatenate([NOTHING, *map(bytes_of, buffers)])

    def buffers(self) -> list[np.ndarray]:
        """Returns what travels to the chief; nothing on the chief itself."""
        if self._is_chief:
            return []
        return [*(buffer for rows in self.outputs for buffer in rows.buffers()), *self.states]


def _size(item: tuple[list[Segment], Any]) -> int:
    """Returns the bytes of a round, or what allows for `AHEAD_ROUNDS` of them."""
    segments, _ = item
    return max(sum(num_bytes(s.batch) for s in segments), AHEAD_BYTES // AHEAD_ROUNDS)
