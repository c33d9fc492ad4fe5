"""Speed-up over one replica, with devices that are simulated by a sleep.

All contenders run in one job: the whole data on all replicas, and on one replica alone.
"""

from __future__ import annotations

import sys

import tensorflow as tf

import disteval
import replicas
from benchmarks import models
from benchmarks.measure import emit, interleaved, medians, ratio

QUICK = "--quick" in sys.argv
REPETITIONS = 2 if QUICK else 3
# The simulated time on one replica is 2 or 10 seconds, so that overhead matters less.
BATCHES, SECONDS, BATCH_SIZE = (128, 0.016, 8) if QUICK else (512, 0.02, 8)

strategy = replicas.start()
backend = disteval.get_backend(replicas.BACKEND)
with strategy.scope():
    model = models.waiting(SECONDS)
alone = models.waiting(SECONDS)
x = models.inputs(alone, BATCHES * BATCH_SIZE)
shard = x[: len(x) // replicas.REPLICAS]


def on_all() -> None:
    disteval.predict(model, x, batch_size=BATCH_SIZE, backend=replicas.BACKEND)


def on_one(data: object) -> None:
    if backend.is_chief:  # the others wait at the barrier
        disteval.predict(alone, data, batch_size=BATCH_SIZE, backend="single")


seconds = interleaved(
    {"all": on_all, "one": lambda: on_one(x), "one shard on one": lambda: on_one(shard)},
    REPETITIONS,
    barrier=lambda: backend.agree("a barrier"),
    warm_ups=1,
)
if backend.is_chief:
    tf.get_logger().setLevel("ERROR")
    name = {"horovod": "Horovod ranks", "mirrored": "Mirrored replicas"}[replicas.BACKEND]
    case = f"simulated device, {replicas.REPLICAS} {name}"
    emit("scaling", case, "speed-up over 1", ratio(seconds["one"], seconds["all"]),
         replicas=replicas.REPLICAS, seconds=medians(seconds))  # fmt: skip
    emit("scaling", case, "time / that of one shard on 1",
         ratio(seconds["all"], seconds["one shard on one"]))  # fmt: skip
