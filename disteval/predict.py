"""Sharded inference: each rank evaluates its shard, the chief gets the predictions of all."""

from __future__ import annotations

import contextlib
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from disteval import receipts, wire
from disteval.agreement import NOTHING, Agreement, Status
from disteval.assembly import Assembly
from disteval.backends import Backend, get_backend
from disteval.balance import balanced
from disteval.batches import split_element
from disteval.data import as_source
from disteval.errors import DataError
from disteval.loop import Loop, PostProcess
from disteval.progress import Progress
from disteval.replicas import Replicas, check_mode
from disteval.results import Results
from disteval.segments import Shard, Split
from disteval.sources import Source

# Predictions of a rank that travel together with its status, in one round trip. They are sent
# again with each sign of life while other ranks are still at work, so they have to be few.
SMALL_BYTES = 1 << 18

# The compiled loop of each model, for calls of `predict` one after the other.
_loops: weakref.WeakKeyDictionary[Any, Loop] = weakref.WeakKeyDictionary()


class Evaluation(NamedTuple):
    """What one evaluation gave.

    Attributes:
        predictions: On the chief, the nest of arrays; `None` elsewhere.
        num_samples: The number of samples, of all ranks.
        receipts: For each rank, which samples it evaluated; see `receipts`.
        seconds: How long `inference` and `gather` took on this rank.
        num_bytes: How much of it the other ranks sent to the chief.
        weights: How much each rank should evaluate the next time.
    """

    predictions: Any
    num_samples: int
    receipts: list[list[list[int]]]
    seconds: dict[str, float]
    num_bytes: int
    weights: tuple[float, ...] | None


def predict(
    model: Any,
    data: Any,
    *,
    num_samples: int | None = None,
    batch_size: int | None = None,
    backend: str = "auto",
    postprocess: PostProcess | None = None,
    sync_weights: str = "auto",
    verbose: str | int = "auto",
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
        sync_weights: See `DistEvalCallback`.
        verbose: 1 shows a progress bar on the chief if it takes longer than 2 seconds, 0 does
            not, and `"auto"` does on a terminal.

    Returns:
        On the chief, the predictions of all samples in dataset order: a nest, as the model or
        `postprocess` returns it, of arrays of shape `(samples, ...)`. Ragged outputs, and those
        whose rows differ in shape, are object arrays with an array for each sample; strings are
        object arrays of bytes. On every other rank, `None`.

    Raises:
        DataError: The data or the predictions have the wrong form.
        ReplicaDivergenceError: The replicas hold different weights.
        ReplicaError: Another rank failed.

    Example:
        >>> disteval.predict(model, (x, y))             # under `horovodrun -np 2`, on rank 0:
        array([[0.1, 0.9], ...], dtype=float32)         # shape (len(x), 2), and None on rank 1
    """
    engine = get_backend(backend, model=model)

    def prepare() -> tuple[Loop, Source]:
        check_mode(sync_weights)
        source = as_source(data, batch_size=batch_size, num_samples=num_samples, model=model)
        loop = _loops.get(model)
        if loop is None or loop.postprocess != postprocess or loop.strategy is not engine.strategy:
            loop = _loops[model] = Loop(weakref.proxy(model), postprocess, engine.strategy)
        if not model.built:
            # Now, for the weights that this makes are to be compared.
            with engine.strategy.scope():
                model(_first_sample(source), training=False)
        return loop, source

    return evaluate(
        engine,
        prepare,
        step="predict",
        same={"sync_weights": sync_weights},
        sync_weights=sync_weights,
        verbose=verbose,
    ).predictions


def _first_sample(source: Source) -> Any:
    """Returns the input of one sample, as a batch."""
    x, _ = split_element(source.first())
    return tf.nest.map_structure(lambda leaf: tf.convert_to_tensor(leaf[:1]), x)


def evaluate(
    backend: Backend,
    prepare: Callable[[], tuple[Loop, Source]],
    *,
    step: str,
    same: dict[str, Any] | None = None,
    before: BaseException | None = None,
    sync_weights: str = "auto",
    weights: tuple[float, ...] | None = None,
    verbose: str | int = "auto",
) -> Evaluation:
    """Evaluates a source on all ranks; a collective.

    Args:
        backend: Where the ranks and replicas are.
        prepare: Returns what they run, and what they run it on, of the same form on all ranks.
            If it fails on one of them, that is an error on all.
        step: Name of the evaluation, for messages.
        same: Facts that have to be equal on all ranks.
        before: What failed on this rank before; raised on all of them.
        sync_weights: See `DistEvalCallback`.
        weights: How much each rank evaluates; the chief's count.
        verbose: See `predict`.

    Raises:
        ReplicaDivergenceError: The ranks hold different models.
        DistEvalError: A rank failed, or the shards do not cover each sample once.
    """
    with backend.together(step, same) as agreement:
        if before is not None:
            raise before
        loop, source = prepare()
        agreement.own["weights"] = weights
        replicas = Replicas(loop.model, backend) if sync_weights != "off" else None
        if replicas is not None:
            agreement.own["variables"] = replicas.forms
            agreement.data = replicas.fingerprints().tobytes()
    shard = Shard(backend.rank, backend.size, _weights_of(agreement.statuses))
    if replicas is None:
        return _evaluate(backend, loop, source, shard, step, verbose)
    differing = replicas.differing(agreement.statuses)
    replicas.check(differing, sync_weights)
    with replicas.lent(list(differing)):
        return _evaluate(backend, loop, source, shard, step, verbose)


def _weights_of(statuses: Sequence[Status]) -> tuple[float, ...] | None:
    """Returns the chief's weights: a rank that is new to the job knows none."""
    weights = statuses[0].own["weights"]
    return tuple(weights) if weights and len(weights) == len(statuses) else None


def _evaluate(
    backend: Backend, loop: Loop, source: Source, shard: Shard, step: str, verbose: str | int
) -> Evaluation:
    started = time.monotonic()
    results = Results(source.capacity(), backend.is_chief)
    progress = Progress(verbose if backend.is_chief else 0, source.num_samples)
    with backend.together(f"the inference of {step}") as agreement:
        split = Split(loop.num_replicas, loop.balance.weights)
        rounds = source.rounds(shard, split, loop.pace)
        results.run(loop, rounds, agreement, progress)
        if backend.is_chief and not results.outputs:
            # The chief has to know the form of the predictions even if it evaluates none.
            loop.trace(source.first())
        buffers = [] if backend.is_chief else results.buffers()
        agreement.own = results.describe() | {
            "bytes": sum(buffer.nbytes for buffer in buffers),
            "seconds": time.monotonic() - started,
        }
        if agreement.own["bytes"] <= SMALL_BYTES:
            agreement.payload = np.concatenate([NOTHING, *map(wire.bytes_of, buffers)])
    progress.close(agreement.total_progress())
    inferred = time.monotonic()
    statuses = agreement.statuses
    leaves, num_samples = _checked(statuses)
    predictions = _collect(backend, loop, results, agreement, leaves or loop.leaves, num_samples)
    return Evaluation(
        predictions,
        num_samples,
        [status.own["receipt"] for status in statuses],
        {"inference": inferred - started, "gather": time.monotonic() - inferred},
        sum(status.own["bytes"] for status in statuses),
        balanced(
            shard.weights,
            [receipts.count(status.own["receipt"]) for status in statuses],
            [status.own["seconds"] for status in statuses],
        ),
    )


def _collect(
    backend: Backend,
    loop: Loop,
    results: Results,
    agreement: Agreement,
    leaves: Sequence[wire.Leaf],
    num_samples: int,
) -> Any:
    """Returns the predictions of all ranks on the chief, in dataset order; a collective."""
    totals = [status.own["bytes"] for status in agreement.statuses]
    if max(totals) <= SMALL_BYTES:  # all is here: it came with the statuses
        if not backend.is_chief:
            return None
        assembly, destinations = _assembly(results, agreement, leaves, num_samples)
        for arrays, payload in zip(destinations[1:], agreement.payloads[1:], strict=True):
            wire.Filler(arrays).write(payload)
        return loop.packed(assembly.finish())
    is_safe = _have_places(leaves, agreement.statuses)
    with contextlib.nullcontext() if is_safe else backend.together("making room"):
        received: Assembly | None = None
        destinations = []
        if backend.is_chief:
            received, destinations = _assembly(results, agreement, leaves, num_samples)
    backend.gather([] if backend.is_chief else results.buffers(), totals, destinations)
    with contextlib.nullcontext() if is_safe else backend.together("the end of the gather"):
        return loop.packed(received.finish()) if received is not None else None


def _have_places(leaves: Sequence[wire.Leaf], statuses: Sequence[Status]) -> bool:
    """Whether all rows have a place on the chief already, so that it cannot fail any more."""
    return (
        all(leaf.is_dense for leaf in leaves)
        and statuses[0].own["has_room"]
        and all(receipts.is_run(status.own["receipt"]) for status in statuses)
    )


def _assembly(
    results: Results, agreement: Agreement, leaves: Sequence[wire.Leaf], num_samples: int
) -> tuple[Assembly, list[list[np.ndarray]]]:
    """Returns the chief's arrays, with its own rows, and where those of each rank belong."""
    assembly = Assembly(leaves, num_samples, results.index, results.leaves, results.outputs)
    return assembly, [[], *(_destinations(assembly, s) for s in agreement.statuses[1:])]


def _destinations(assembly: Assembly, status: Status) -> list[np.ndarray]:
    own = status.own
    index = receipts.read(own["receipt"])
    return list(assembly.destinations(index, _leaves(status), own["outputs"]))


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
    return merged, receipts.check([status.own["receipt"] for status in statuses])


def _leaves(status: Status) -> list[wire.Leaf]:
    return [
        wire.Leaf(dtype, None if inner is None else tuple(inner), ragged_rank)
        for dtype, inner, ragged_rank in status.own["leaves"]
    ]
