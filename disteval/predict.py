"""Sharded inference: each rank evaluates its shard, the chief gets the predictions of all."""

from __future__ import annotations

import time
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from disteval import wire
from disteval.agreement import Status, describe
from disteval.backends import Backend, get_backend
from disteval.data import Source, as_source
from disteval.errors import DataError, DistEvalError
from disteval.loop import Loop, PostProcess

# The compiled loop of each model, for calls of `predict` one after the other.
_loops: weakref.WeakKeyDictionary[Any, Loop] = weakref.WeakKeyDictionary()


class Evaluation(NamedTuple):
    """What one evaluation gave.

    Attributes:
        predictions: On the chief, the nest of arrays; `None` elsewhere.
        num_samples: The number of samples, of all ranks.
        receipt: For each rank, which samples it evaluated: runs of `[first, count]`.
        seconds: How long `inference` and `gather` took on this rank.
    """

    predictions: Any
    num_samples: int
    receipt: list[list[list[int]]]
    seconds: dict[str, float]


def predict(
    model: Any,
    data: Any,
    *,
    num_samples: int | None = None,
    batch_size: int | None = None,
    backend: str = "auto",
    postprocess: PostProcess | None = None,
) -> Any:
    """Predicts with all replicas; a collective, which every rank has to call.

    Args:
        model: A Keras model on the TensorFlow backend, with the same weights on every rank.
        data: See `DistEvalCallback.validation_data`; for arrays, `x` alone will do as well.
        num_samples: Evaluates the first so many samples only.
        batch_size: Samples of a batch on one replica, 32 by default. A batched dataset keeps its
            own batches.
        backend: See `get_backend`.
        postprocess: `postprocess(outputs, batch)`, traced into the graph on every replica,
            returns what travels to the chief; by default the outputs. Its tensors have one row
            for each sample.

    Returns:
        On the chief, the predictions of all samples in dataset order: a nest, as the model or
        `postprocess` returns it, of arrays of shape `(samples, ...)`. Ragged outputs, and those
        whose rows differ in shape, are object arrays with an array for each sample; strings are
        object arrays of bytes. On every other rank, `None`.

    Raises:
        DataError: The data or the predictions have the wrong form.
        ReplicaError: Another rank failed.

    Example:
        >>> disteval.predict(model, (x, y))             # under `horovodrun -np 2`, on rank 0:
        array([[0.1, 0.9], ...], dtype=float32)         # shape (len(x), 2), and None on rank 1
    """
    engine = get_backend(backend, model=model)
    with engine.together("predict"):
        source = as_source(data, batch_size=batch_size, num_samples=num_samples, model=model)
    loop = _loops.get(model)
    if loop is None or loop.postprocess != postprocess or loop.strategy is not engine.strategy:
        loop = _loops[model] = Loop(weakref.proxy(model), postprocess, engine.strategy)
    return evaluate(engine, loop, source).predictions


def evaluate(backend: Backend, loop: Loop, source: Source) -> Evaluation:
    """Evaluates a source whose form all ranks have agreed on; a collective.

    Raises:
        DistEvalError: A rank failed, or the shards do not cover each sample once.
    """
    started = time.monotonic()
    shard, error = _Shard(), None
    try:
        shard.run(backend, loop, source)
    except BaseException as failure:  # told to the other ranks, and then raised
        error = failure
    inferred = time.monotonic()
    predictions, statuses = _gather(backend, loop, shard, error)
    receipt = [status.own["runs"] for status in statuses]
    return Evaluation(
        predictions,
        sum(count for runs in receipt for _, count in runs),
        receipt,
        {"inference": inferred - started, "gather": time.monotonic() - inferred},
    )


class _Shard:
    """What this rank evaluated: which samples, and the rows of each output."""

    def __init__(self) -> None:
        self.index = np.empty(0, np.int64)
        self.outputs: list[wire.Rows] = []
        self.leaves: list[wire.Leaf] = []

    def run(self, backend: Backend, loop: Loop, source: Source) -> None:
        indices = [self.index]
        for segments in source.rounds(backend.rank, backend.size, backend.local_replicas):
            for segment, outputs in zip(segments, loop.run(segments), strict=True):
                self.outputs = self.outputs or [wire.Rows() for _ in outputs]
                indices.append(segment.index)
                for rows, components in zip(self.outputs, outputs, strict=True):
                    rows.append(components)
        self.index = np.concatenate(indices)
        if self.outputs:
            self.leaves = loop.leaves
        elif backend.is_chief:
            # The chief has to know the form of the predictions even if it evaluates none.
            loop.trace(source.first())
        for leaf, rows in zip(self.leaves, self.outputs, strict=True):
            rows.encode(leaf)


def _gather(
    backend: Backend,
    loop: Loop,
    shard: _Shard,
    error: BaseException | None,
) -> tuple[Any, list[Status]]:
    """Brings the rows of all ranks to the chief, in dataset order."""
    status = Status(
        backend.rank,
        "inference",
        own={
            "runs": _runs(shard.index),
            "leaves": shard.leaves,
            "outputs": [rows.describe() for rows in shard.outputs],
        },
        error=describe(error),
    )
    assembly: wire.Assembly | None = None

    def destinations(statuses: Sequence[Status]) -> list[list[np.ndarray]]:
        nonlocal assembly
        leaves, num_samples = _checked(statuses)
        if not backend.is_chief:
            return []
        assembly = wire.Assembly(leaves or loop.leaves, num_samples)
        if shard.outputs:
            assembly.add(shard.index, shard.leaves, shard.outputs)
        return [[]] + [
            list(
                assembly.destinations(
                    _index(other.own["runs"]), _leaves(other), other.own["outputs"]
                )
            )
            for other in statuses[1:]
        ]

    buffers = [] if backend.is_chief else [b for rows in shard.outputs for b in rows.buffers()]
    statuses = backend.gather(status, error, buffers, destinations)
    if assembly is None:
        return None, statuses
    flat = tf.nest.flatten(loop.structure)
    rows = assembly.finish()
    return tf.nest.pack_sequence_as(loop.structure, [rows[i] for i in flat]), statuses


def _checked(statuses: Sequence[Status]) -> tuple[list[wire.Leaf], int]:
    """Returns the leaves that hold for all ranks and the number of samples.

    Every rank does this with the same statuses, so that all raise or none.

    Raises:
        DataError: The ranks return different things, or there is no sample at all.
        DistEvalError: The shards do not cover each sample exactly once.
    """
    merged: list[wire.Leaf] = []
    for leaves in filter(None, map(_leaves, statuses)):
        merged = merged or leaves
        if len(leaves) != len(merged):
            raise DataError(
                f"Received: {len(leaves)} outputs on one rank and {len(merged)} on another. "
                "Expected: the same outputs on every rank."
            )
        merged = [a.merged(b) for a, b in zip(merged, leaves, strict=True)]
    runs = sorted(run for status in statuses for run in status.own["runs"])
    end = 0
    for first, count in runs:
        if first != end:
            kind = "missing" if first > end else "evaluated twice"
            raise DistEvalError(
                f"the shards do not cover each sample once: sample {min(first, end)} is {kind}. "
                "Expected: every rank reads the same validation_data, in the same order."
            )
        end += count
    if not end:
        raise DataError("validation_data is empty. Expected one sample at least.")
    return merged, end


def _leaves(status: Status) -> list[wire.Leaf]:
    return [
        wire.Leaf(dtype, None if inner is None else tuple(inner), ragged_rank)
        for dtype, inner, ragged_rank in status.own["leaves"]
    ]


def _runs(index: np.ndarray) -> list[list[int]]:
    """Returns sample numbers as runs of `[first, count]`."""
    if not len(index):
        return []
    starts = np.flatnonzero(np.diff(index, prepend=index[0] - 2) != 1)
    counts = np.diff(starts, append=len(index))
    return np.stack([index[starts], counts], axis=1).tolist()


def _index(runs: Sequence[Sequence[int]]) -> np.ndarray:
    """Returns the sample numbers of runs."""
    return np.concatenate(
        [np.empty(0, np.int64), *(np.arange(first, first + count) for first, count in runs)]
    )
