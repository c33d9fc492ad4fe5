"""How the rows of all ranks come together on the chief, in dataset order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from disteval.backends.base import Backend
from disteval.backends.stream import Filler
from disteval.errors import DataError
from disteval.inference import receipts
from disteval.inference.outputs import OutputRows, is_run, place
from disteval.inference.shard import SMALL_BYTES, ShardReport, ShardResults
from disteval.inference.wire import Leaf, as_objects, decode


class Gathered(NamedTuple):
    """What all ranks evaluated.

    Attributes:
        rows: The rows of each output, in dataset order.
        states: The sums of the metrics over all ranks.
    """

    rows: list[np.ndarray]
    states: list[np.ndarray]


def merged_leaves(reports: Sequence[ShardReport]) -> list[Leaf]:
    """Returns what is known of each output on all ranks; nothing if no rank evaluated a sample.

    Raises:
        DataError: The ranks return different outputs.
    """
    merged: list[Leaf] = []
    for leaves in filter(None, (report.leaves for report in reports)):
        merged = merged or leaves
        if len(leaves) != len(merged):
            raise DataError(
                f"The ranks return different outputs. Received: {len(merged)} outputs on one rank "
                f"and {len(leaves)} on another. Expected: the same outputs on every rank."
            )
        merged = [a.merged(b) for a, b in zip(merged, leaves, strict=True)]
    return merged


def is_small(reports: Sequence[ShardReport]) -> bool:
    """Whether the rows of all ranks have already come, with the reports."""
    return max(report.num_bytes for report in reports) <= SMALL_BYTES


def unpack_small(
    backend: Backend,
    results: ShardResults,
    reports: Sequence[ShardReport],
    payloads: Sequence[np.ndarray],
    leaves: Sequence[Leaf],
) -> Gathered | None:
    """Returns what came with the reports; `None` but on the chief."""
    if not backend.is_chief:
        return None
    assembly = Assembly(leaves, results, reports)
    for arrays, payload in zip(assembly.destinations, payloads, strict=True):
        Filler(arrays).write(payload)
    return assembly.finish()


def gather_large(
    backend: Backend,
    results: ShardResults,
    reports: Sequence[ShardReport],
    leaves: Sequence[Leaf],
) -> Gathered | None:
    """Returns what all ranks evaluated on the chief, `None` elsewhere; a collective."""
    totals = [report.num_bytes for report in reports]
    if _has_places(reports, leaves):
        # The chief has the memory for all rows already, so that only a peer can fail from here on.
        assembly = Assembly(leaves, results, reports) if backend.is_chief else None
        backend.gather(results.buffers(), totals, assembly.destinations if assembly else [])
        return assembly.finish() if assembly else None
    with backend.together("making room"):
        assembly = Assembly(leaves, results, reports) if backend.is_chief else None
    backend.gather(results.buffers(), totals, assembly.destinations if assembly else [])
    with backend.together("the end of the gather"):
        return assembly.finish() if assembly else None


def _has_places(reports: Sequence[ShardReport], leaves: Sequence[Leaf]) -> bool:
    """Whether each row of every rank has a place in an array that the chief holds already."""
    return (
        all(leaf.is_dense for leaf in leaves)
        and reports[0].has_places
        and all(receipts.is_run(report.receipt) for report in reports)
    )


class Assembly:
    """The rows of all ranks, put into dataset order on the chief.

    Dense outputs go straight to their place in one array of all samples. The states of the metrics
    come after the outputs.

    Args:
        leaves: What is known of each output on all ranks.
        results: The rows of the chief itself, which are released on the way.
        reports: What each rank evaluated.

    Attributes:
        destinations: For each rank the arrays to fill with what it sends, in the order in which it
            sends them; none for the chief.
    """

    def __init__(
        self, leaves: Sequence[Leaf], results: ShardResults, reports: Sequence[ShardReport]
    ) -> None:
        num_samples = sum(receipts.count(report.receipt) for report in reports)
        self._leaves = leaves
        self._landed: list[tuple[int, np.ndarray, Leaf, list[np.ndarray]]] = []
        self._final: list[np.ndarray] = []
        for i, leaf in enumerate(leaves):
            rows = results.outputs[i] if results.outputs else OutputRows()
            if leaf.is_dense and rows.final is not None:
                self._final.append(rows.final[:num_samples])
                continue
            rows.to_chunks()
            inner = None if leaf.ragged_rank else leaf.inner
            self._final.append(
                np.empty(num_samples, object)
                if inner is None
                else np.empty((num_samples, *inner), leaf.numpy_dtype)
            )
            if rows.chunks:
                self._add_own(i, results.index, results.leaves[i], rows)
        self._states = [results.states] + [
            [np.empty_like(state) for state in results.states] for _ in reports[1:]
        ]
        self.destinations: list[list[np.ndarray]] = [
            [],
            *(
                [*self._destinations_of(report), *states]
                for report, states in zip(reports[1:], self._states[1:], strict=True)
            ),
        ]

    def finish(self) -> Gathered:
        """Returns all rows and the sums of the states, once all destinations are full."""
        while self._landed:
            i, index, leaf, landing = self._landed.pop()
            self._place(i, index, decode(leaf, landing))
        rows = [
            _stacked(final) if leaf.inner is None and not leaf.ragged_rank else final
            for leaf, final in zip(self._leaves, self._final, strict=True)
        ]
        # In rank order, since sums of floats depend on the order.
        of_variables = zip(*self._states, strict=True)
        return Gathered(rows, [sum(parts[1:], parts[0]) for parts in of_variables])

    def _add_own(self, i: int, index: np.ndarray, leaf: Leaf, rows: OutputRows) -> None:
        if not leaf.is_dense:
            parts = [np.concatenate(part) for part in zip(*rows.chunks, strict=True)]
            rows.chunks.clear()
            self._place(i, index, decode(leaf, parts))
        start = 0
        while rows.chunks:  # released chunk by chunk
            (values,) = rows.chunks.pop(0)
            self._place(i, index[start : start + len(values)], values)
            start += len(values)

    def _destinations_of(self, report: ShardReport) -> Iterator[np.ndarray]:
        """Yields the arrays to fill with what a rank sends, in the order in which it sends them."""
        index = receipts.read(report.receipt)
        for i, (leaf, forms) in enumerate(zip(report.leaves, report.forms, strict=True)):
            if leaf.is_dense and leaf == self._leaves[i] and is_run(index):
                yield self._final[i][index[0] : index[-1] + 1]
                continue
            landing = [np.empty(shape, tf.as_dtype(name).as_numpy_dtype) for name, shape in forms]
            self._landed.append((i, index, leaf, landing))
            yield from landing

    def _place(self, i: int, index: np.ndarray, rows: np.ndarray) -> None:
        leaf = self._leaves[i]
        if leaf.inner is None and not leaf.ragged_rank:
            rows = as_objects(rows)
        place(self._final[i], index, rows)


def _stacked(rows: np.ndarray) -> np.ndarray:
    """Returns rows as one array, if they have one shape."""
    return np.stack(list(rows)) if len({row.shape for row in rows}) == 1 else rows
