"""Input that is expensive: simulated decoding, and real JPEGs, on all ranks and on one.

Decoding is simulated by a sleep, which leaves the cores free, as in the benchmark of scaling.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import horovod.tensorflow as hvd
import numpy as np
import tensorflow as tf

import disteval
import replicas
from benchmarks import models
from benchmarks.measure import emit, interleaved, medians, ratio

QUICK = "--quick" in sys.argv
REPETITIONS = 1 if QUICK else 3
# The simulated decoding takes 5 or 34 seconds on one rank, so that overhead matters less: with 8
# ranks on 2 cores, an evaluation takes 0.1 to 0.2 seconds more than its part.
BATCHES, BATCH_SIZE, SECONDS = (64, 8, 0.01) if QUICK else (400, 8, 0.01)
IMAGES, HEIGHT, WIDTH = (200 if QUICK else 2000), 375, 500
SIMULATED, JPEGS = "simulated decoding", f"{IMAGES:,} JPEGs of {WIDTH}x{HEIGHT}"

replicas.start()
keras = tf.keras
keras.utils.set_random_seed(0)  # the same weights on all ranks
backend = disteval.get_backend(replicas.BACKEND)
Dataset = tf.data.Dataset


def on_chief(contender: Callable[[], object]) -> Callable[[], object]:
    """Returns a contender that only the chief runs, while the others wait at the barrier."""
    return lambda: contender() if backend.is_chief else None


def decoder(seconds: float, shape: list[int | None]) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a function for `map` that takes so long for each element."""

    def sleep(x: np.ndarray) -> np.ndarray:
        time.sleep(seconds)
        return x

    return lambda x: tf.ensure_shape(tf.numpy_function(sleep, [x], x.dtype), shape)


def simulated() -> None:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    numbers = np.arange(BATCHES * BATCH_SIZE, dtype=np.float32)[:, np.newaxis]

    def pipeline(elements: tf.data.Dataset) -> tf.data.Dataset:
        return elements.map(decoder(SECONDS, [1])).batch(BATCH_SIZE)

    plain = pipeline(Dataset.from_tensor_slices(numbers))
    sharded, alone = (disteval.sharded(numbers, pipeline) for _ in range(2))

    def on_all(data: object) -> Callable[[], object]:
        return lambda: disteval.predict(model, data, backend=replicas.BACKEND)

    on_one = on_chief(lambda: disteval.predict(model, alone, backend="single"))
    for data in (sharded, plain, alone):  # traces the loop, and the pipeline
        disteval.predict(model, data, num_samples=BATCH_SIZE * backend.size)
    seconds = interleaved(
        {"sharded": on_all(sharded), "plain": on_all(plain), "one": on_one},
        1 if QUICK else 2,
        barrier=lambda: backend.agree("a barrier"),
        warm_ups=0,
    )
    if backend.is_chief:
        case = f"{SIMULATED}, {backend.size} Horovod ranks"
        details = {"replicas": backend.size, "seconds": medians(seconds)}
        efficiency = ratio(seconds["one"], seconds["sharded"]) / backend.size
        emit("input", case, "sharded: speed-up / ranks", efficiency, **details)
        emit("input", case, "plain dataset: speed-up / ranks",
             ratio(seconds["one"], seconds["plain"]) / backend.size)  # fmt: skip


def overlapped() -> None:
    """Input and computing that take equally long, and twice as long as the other."""
    for decoding, computing in ((1, 1), (1, 2), (2, 1)):
        batch_seconds = 0.02
        slow, fast = models.waiting(batch_seconds * computing), models.waiting(0)
        numbers = models.inputs(slow, 100 * BATCH_SIZE)

        decode = decoder(batch_seconds * decoding, [None, 1])
        reading = disteval.sharded(
            numbers, lambda d, decode=decode: d.batch(BATCH_SIZE).map(decode)
        )
        contenders = {
            "both": lambda model=slow, data=reading: disteval.predict(model, data),
            "input": lambda model=fast, data=reading: disteval.predict(model, data),
            "computing": lambda model=slow, data=numbers: disteval.predict(
                model, data, batch_size=BATCH_SIZE
            ),
        }
        seconds = interleaved(contenders, REPETITIONS, warm_ups=2)
        longer = list(map(max, seconds["input"], seconds["computing"]))
        case = f"input and computing, {decoding} : {computing}"
        emit("input", case, "evaluation / the longer of both", ratio(seconds["both"], longer),
             seconds=medians(seconds))  # fmt: skip


def jpegs() -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_jpegs(Path(folder))
        names = hvd.broadcast_object(sorted(map(str, Path(folder).iterdir())))
        seconds = cpu_seconds(names)
        backend.agree("all files were read")
    if backend.is_chief:
        case = f"{JPEGS}, {backend.size} Horovod ranks"
        emit("input", case, "CPU seconds of all ranks, sharded / plain",
             ratio(seconds["sharded"], seconds["plain"]), seconds=medians(seconds))  # fmt: skip


def write_jpegs(folder: Path) -> None:
    """Writes pictures of smooth noise, which compress as photographs do; on the chief only."""
    if not backend.is_chief:
        return
    coarse = np.random.default_rng(0).random((IMAGES, 24, 32, 3), np.float32)
    for i, picture in enumerate(coarse):
        image = tf.cast(255 * tf.image.resize(picture, (HEIGHT, WIDTH)), tf.uint8)
        tf.io.write_file(str(folder / f"{i:05}.jpg"), tf.io.encode_jpeg(image))


def cpu_seconds(names: list[str]) -> dict[str, list[float]]:
    """Returns the CPU seconds of all ranks in an evaluation of both kinds of data."""
    layers = [
        keras.Input((96, 96, 3)),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(5),
    ]
    model = keras.Sequential(layers)

    def decode(name: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_jpeg(tf.io.read_file(name), channels=3)
        return tf.image.resize(image, (96, 96)) / 255

    def pipeline(elements: tf.data.Dataset) -> tf.data.Dataset:
        return elements.map(decode, num_parallel_calls=tf.data.AUTOTUNE).batch(32)

    contenders = {
        "plain": pipeline(Dataset.from_tensor_slices(names)),
        "sharded": disteval.sharded(names, pipeline),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for repetition in range(-1, REPETITIONS):
        for name, data in contenders.items():
            backend.agree("a barrier")
            before = own_cpu_seconds()
            disteval.predict(model, data)
            used = sum(hvd.allgather_object(own_cpu_seconds() - before))
            if repetition >= 0:
                seconds[name].append(used)
    return seconds


def own_cpu_seconds() -> float:
    """Returns the CPU seconds of all threads of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if backend.size == 1:
    overlapped()
simulated()
if backend.size == 2:
    jpegs()
