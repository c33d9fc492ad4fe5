"""One rank's part of an evaluation: it runs its shard, and keeps what came out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from disteval import receipts, wire
from disteval.agreement import Agreement
from disteval.ahead import ahead
from disteval.assembly import Rows
from disteval.loop import Loop
from disteval.progress import Progress
from disteval.segments import Segment


class Results:
    """What this rank evaluated: which samples, and the rows of each output.

    Args:
        capacity: How many samples all ranks evaluate at most, if that is known.
        is_chief: Whether rows go to their place in dataset order.
    """

    def __init__(self, capacity: int | None, is_chief: bool) -> None:
        self._capacity = capacity
        self._is_chief = is_chief
        self.index = np.empty(0, np.int64)
        self.outputs: list[Rows] = []
        self.leaves: list[wire.Leaf] = []

    def run(
        self,
        loop: Loop,
        rounds: Iterator[list[Segment]],
        agreement: Agreement,
        progress: Progress,
    ) -> None:
        """Evaluates all rounds, unless another rank fails."""
        indices = [self.index]
        counts, seconds = np.zeros((2, loop.num_replicas))
        read = ((segments, loop.inputs(segments)) for segments in rounds)
        for segments, inputs in ahead(read, agreement.check):
            agreement.check()
            for segment, outputs in zip(segments, loop.run(segments, inputs), strict=True):
                self.outputs = self.outputs or [Rows(self._capacity) for _ in outputs]
                indices.append(segment.index)
                done, count = agreement.progress, len(segment.index)
                places = segment.index if self._is_chief else np.arange(done, done + count)
                for rows, components in zip(self.outputs, outputs, strict=True):
                    rows.append(places, components)
                agreement.progress += count
            counts[: len(segments)] += [len(segment.index) for segment in segments]
            seconds[: len(segments)] += loop.seconds
            progress.update(agreement.total_progress())
        loop.balance.took(counts.tolist(), seconds.tolist())
        self.index = np.concatenate(indices)
        leaves = loop.leaves if self.outputs else []
        self.leaves = [rows.encode(leaf) for leaf, rows in zip(leaves, self.outputs, strict=True)]

    def describe(self) -> dict[str, Any]:
        """Returns what the other ranks have to know before anything travels."""
        return {
            "receipt": receipts.write(self.index),
            "leaves": self.leaves,
            "outputs": [rows.describe() for rows in self.outputs],
            "has_room": all(rows.final is not None for rows in self.outputs or [Rows()]),
        }

    def buffers(self) -> list[np.ndarray]:
        """Returns what travels to the chief."""
        return [buffer for rows in self.outputs for buffer in rows.buffers()]
