"""The gather of an evaluation on two Horovod ranks, beside Horovod's own and other libraries'.

`run_evaluation` runs with a loop whose outputs are ready, so that only the transfer of predictions
to the chief is timed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import horovod.tensorflow as hvd
import numpy as np
import tensorflow as tf

import disteval
import replicas
from benchmarks.measure import PeakMemory, emit, interleaved, medians, ratio
from benchmarks.peers import peers
from disteval.data.sharding import OUTPUT_BYTES, Segment, shard_bounds
from disteval.data.sources import ArraySource
from disteval.inference import wire
from disteval.inference.evaluation import Options, run_evaluation
from disteval.inference.loop import Loop

QUICK = "--quick" in sys.argv
# The comparison with peers is a job of its own: torch and its memory slow down all contenders.
PEERS = "--peers" in sys.argv
SECTION = "peers" if PEERS else "gather"
REPETITIONS = 3 if QUICK else 9
# For pickled objects, which take seconds.
SLOW_REPETITIONS = 1 if QUICK else 3
SCALE = 10 if QUICK else 1
ROWS = 1_000_000 // SCALE

replicas.start()
backend = disteval.get_backend("horovod")
rank, size = backend.rank, backend.size


def barrier() -> None:
    backend.agree("a barrier")


class Ready(Loop):
    """A loop whose outputs are computed before it runs: rows of an array, or ragged rows."""

    def __init__(self, values: np.ndarray, lengths: np.ndarray | None) -> None:
        super().__init__(None, None, tf.distribute.get_strategy())
        self.structure = 0
        self.leaves = [wire.Leaf(values.dtype.name, values.shape[1:], int(lengths is not None))]
        self._values, self._lengths = values, lengths
        row_bytes = values.nbytes / len(values if lengths is None else lengths)
        self.pace.took(int(OUTPUT_BYTES / row_bytes), 0.1, OUTPUT_BYTES)

    def inputs(self, segments: Sequence[Segment]) -> list[Any]:
        return []

    def run(self, segments: Sequence[Segment], inputs: list[Any]) -> list[list[list[np.ndarray]]]:
        (segment,) = segments
        rows = slice(segment.index[0], segment.index[-1] + 1)
        if self._lengths is None:
            return [[[self._values[rows]]]]
        ends = np.cumsum(self._lengths)
        first = ends[rows.start] - self._lengths[rows.start]
        return [[[self._lengths[rows], self._values[first : ends[rows.stop - 1]]]]]


def measure(case: str, values: np.ndarray, lengths: np.ndarray | None = None) -> None:
    """Compares all ways to gather the rows of both ranks."""
    loop = Ready(values, lengths)
    rows = len(values if lengths is None else lengths)
    source = ArraySource(np.zeros((rows, 1), np.uint8), 1, None)
    start, stop = shard_bounds(rows, rank, size)
    if lengths is None:
        own = [values[start:stop]]
        objects = list(own[0]) if own[0].ndim == 1 else own[0]
    else:
        ends = np.cumsum(lengths)
        bounds = ends[start] - lengths[start], ends[stop - 1]
        own = [lengths[start:stop], values[slice(*bounds)]]
        objects = np.split(own[1], np.cumsum(own[0])[:-1])
    tensors = [tf.constant(array) for array in own]
    gather_seconds: list[float] = []

    def ours() -> Any:
        options = Options(sync_weights="off", verbose=0)
        evaluation = run_evaluation(backend, lambda: (loop, source), "gather", options)
        gather_seconds.append(evaluation.seconds["gather"])
        return evaluation.predictions

    def alltoall() -> None:
        for tensor in tensors:
            rows_for_rank = [len(tensor), *[0] * (size - 1)]
            hvd.alltoall(tensor, splits=rows_for_rank, name="bench.alltoall")[0].numpy()

    def allgather() -> None:
        for tensor in tensors:
            hvd.allgather(tensor, name="bench.allgather").numpy()

    result = ours()
    if backend.is_chief and lengths is None:
        np.testing.assert_array_equal(result, values)
    elif backend.is_chief:
        np.testing.assert_array_equal(np.concatenate(result[:1000]), values[: ends[999]])
    del result
    contenders = {"ours": ours, "alltoall": alltoall, "allgather": allgather}
    contenders |= peers(own) if PEERS else {}
    seconds = interleaved(contenders, REPETITIONS, barrier=barrier)
    # Every way needs an agreement first, so that only the gather of the rows is compared.
    seconds["with agreement"] = seconds["ours"]
    seconds["ours"] = gather_seconds[-REPETITIONS:]
    seconds |= interleaved(
        {"allgather_object": lambda: hvd.allgather_object(objects)},
        SLOW_REPETITIONS,
        barrier=barrier,
        warm_ups=0,
    )
    if not backend.is_chief:
        return
    megabytes = sum(array.nbytes for array in own) * size / 1e6
    emit(SECTION, case, "ours / bare alltoall", ratio(seconds["ours"], seconds["alltoall"]),
         seconds=medians(seconds), megabytes=megabytes)  # fmt: skip
    median = medians(seconds)
    for name in seconds.keys() - {"ours", "alltoall"}:
        emit(SECTION, case, f"{name} / ours", median[name] / median["ours"])


def measure_memory() -> None:
    """Compares the chief's peak memory with the size of the gathered predictions."""
    columns = 5000

    def wide(outputs: tf.Tensor, batch: Any) -> tf.Tensor:
        return tf.tile(outputs, [1, columns])

    model = tf.keras.Sequential([tf.keras.Input((1,)), tf.keras.layers.Rescaling(2.0)])
    x = np.arange(10_000, dtype=np.float32)[:, np.newaxis]
    disteval.predict(model, x[:200], postprocess=wide)
    with PeakMemory() as peak:
        predictions = disteval.predict(model, x, postprocess=wide)
    if backend.is_chief:
        held = predictions.nbytes / 1e6
        case, what = f"{held:.0f} MB dense", "chief's peak / the gathered array"
        emit(SECTION, case, what, peak.grown / held, grown=peak.grown, held=held)


random = np.random.default_rng(0)
measure_memory()
measure(f"{200 // SCALE} MB dense", random.random((40_000 // SCALE, 1250), np.float32))
measure(f"{ROWS:,} rows x 10", random.random((ROWS, 10), np.float32))
measure(f"{ROWS:,} scalars", random.random(ROWS, np.float32))
lengths = random.integers(0, 20, ROWS // 10)
measure(f"{len(lengths):,} ragged rows", random.random(lengths.sum(), np.float32), lengths)
