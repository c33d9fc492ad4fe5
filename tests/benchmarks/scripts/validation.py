"""Predictions and metrics in one pass, beside predictions alone and the validation of Keras."""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import tensorflow as tf

import disteval
import replicas
from benchmarks import models
from benchmarks.measure import emit, interleaved, medians, ratio
from disteval.inference.evaluation import Evaluation
from disteval.inference.session import Loops, evaluate_once

QUICK = "--quick" in sys.argv
REPETITIONS, WARM_UPS = 7 if QUICK else 11, 2
SAMPLES = 2000 if QUICK else 10_000
BATCH_SIZE, CLASSES = 32, 10
PLACES = {"single": "one device", "mirrored": "Mirrored replicas", "horovod": "Horovod ranks"}
# The last four have larger states, and most of them are no means over batches.
CASES = {
    "loss and accuracy": ["accuracy"],
    "loss and 5 metrics": ["accuracy", "AUC", "F1", "IoU", "R2"],
}


class Ways:
    """The ways to evaluate a model on all data.

    Args:
        model: A compiled model.
        x: The inputs; shape `(samples, ...)`.
        y: The targets; shape `(samples, classes)`.
    """

    def __init__(self, model: Any, x: np.ndarray, y: np.ndarray) -> None:
        self.model, self.x, self.y = model, x, y
        # A loop that starts or stops to sum metrics is traced anew, so each way has its own.
        self._loops = {True: Loops(), False: Loops()}

    def one_pass(self) -> Evaluation:
        """Makes predictions and metrics, as the callback does with `validate="auto"`."""
        return self._evaluate(validate=True)

    def predictions(self) -> Evaluation:
        """Makes predictions only, as the callback does when `fit` validates by itself."""
        return self._evaluate(validate=False)

    def metrics(self) -> dict[str, Any]:
        """Makes metrics only."""
        return disteval.evaluate(
            self.model,
            (self.x, self.y),
            batch_size=BATCH_SIZE,
            backend=replicas.BACKEND,
            verbose=0,
        )

    def keras(self) -> dict[str, Any]:
        """Makes metrics with Keras."""
        return self.model.evaluate(
            self.x, self.y, batch_size=BATCH_SIZE, verbose=0, return_dict=True
        )

    def _evaluate(self, *, validate: bool) -> Evaluation:
        options = {"batch_size": BATCH_SIZE, "validate": validate, "verbose": 0}
        data, loops = (self.x, self.y), self._loops[validate]
        return evaluate_once("bench", self.model, data, {}, replicas.BACKEND, options, loops)


class EndOfEpoch(tf.keras.callbacks.Callback):
    """Times the end of each epoch of `fit(validation_data=...)`, and one pass after it.

    Attributes:
        seconds: For each epoch, the seconds of Keras' validation with the predictions after it,
            and those of the one pass that replaces both.
    """

    def __init__(self, ways: Ways) -> None:
        super().__init__()
        self.seconds: dict[str, list[float]] = {"in fit": [], "one pass": []}
        self._ways = ways
        self._started = 0.0

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        self._start()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._ways.predictions()
        self._end("in fit", epoch)
        self._start()
        self._ways.one_pass()
        self._end("one pass", epoch)

    def _start(self) -> None:
        barrier()
        self._started = time.perf_counter()

    def _end(self, name: str, epoch: int) -> None:
        if epoch >= WARM_UPS:
            self.seconds[name].append(time.perf_counter() - self._started)


def barrier() -> None:
    """Waits for all ranks, so that they start together."""
    backend.agree("a barrier")


def compiled(names: list[str]) -> Any:
    """Returns the small CNN with the metrics of these names, and with the same weights always."""
    kinds = tf.keras.metrics
    made = {
        "accuracy": "accuracy",
        "AUC": kinds.AUC(name="auc"),
        "F1": kinds.F1Score(average="macro", name="f1"),
        "IoU": kinds.OneHotMeanIoU(CLASSES, name="iou"),
        "R2": kinds.R2Score(name="r2"),
    }
    tf.keras.utils.set_random_seed(0)
    model = models.small_cnn()
    # The learning rate is 0, since ranks that train without Horovod's optimizer would diverge.
    optimizer = tf.keras.optimizers.SGD(0.0)
    model.compile(optimizer, "categorical_crossentropy", metrics=[made[name] for name in names])
    return model


def check(ways: Ways, expected: dict[str, Any]) -> None:
    """Raises unless all ways give the same predictions and the expected metrics."""
    one_pass, predictions = ways.one_pass(), ways.predictions().predictions
    for metrics in (one_pass.metrics, ways.metrics()):
        assert metrics.keys() == expected.keys(), (metrics, expected)
        for name, value in expected.items():
            np.testing.assert_allclose(metrics[name], value, rtol=0, atol=1e-5, err_msg=name)
    if backend.is_chief:
        np.testing.assert_allclose(one_pass.predictions, predictions, rtol=0, atol=1e-5)


def in_fit(ways: Ways) -> dict[str, list[float]]:
    """Returns the seconds of `EndOfEpoch`. As users do, each rank validates on all data."""
    callback = EndOfEpoch(ways)
    # Keras splits a batch among the replicas of a strategy; so each gets as many as it has in ours.
    batch_size = BATCH_SIZE * backend.local_replicas
    ways.model.fit(
        ways.x[:batch_size],
        ways.y[:batch_size],
        batch_size=batch_size,
        epochs=WARM_UPS + REPETITIONS,
        validation_data=(ways.x, ways.y),
        callbacks=[callback],
        verbose=0,
    )
    return callback.seconds


strategy = replicas.start()
backend = disteval.get_backend(replicas.BACKEND)
place = PLACES[replicas.BACKEND]
if replicas.REPLICAS > 1:
    place = f"{replicas.REPLICAS} {place}"
labels = np.random.default_rng(1).integers(0, CLASSES, SAMPLES)
y = np.eye(CLASSES, dtype=np.float32)[labels]
for name, metrics in CASES.items():
    alone = compiled(metrics)
    x = models.inputs(alone, SAMPLES)
    with strategy.scope():
        ways = Ways(compiled(metrics), x, y)
    # Under a strategy, the metrics of Keras itself are not quite those of one device.
    check(ways, Ways(alone, x, y).keras())
    contenders = {"one pass": ways.one_pass, "predictions": ways.predictions}
    if replicas.BACKEND == "single":
        contenders |= {"model.evaluate": ways.keras, "ours": ways.metrics}
    seconds = interleaved(contenders, REPETITIONS, barrier=barrier, warm_ups=WARM_UPS)
    epochs = in_fit(ways)
    if not backend.is_chief:
        continue
    case = f"{name}, {place}"
    emit("validation", case, "one pass / predictions only",
         ratio(seconds["one pass"], seconds["predictions"]),
         samples=SAMPLES, seconds=medians(seconds))  # fmt: skip
    if "ours" in seconds:
        emit("validation", case, "model.evaluate / ours",
             ratio(seconds["model.evaluate"], seconds["ours"]))  # fmt: skip
    emit("validation", case, "fit's validation and predictions / one pass",
         ratio(epochs["in fit"], epochs["one pass"]), seconds=medians(epochs))  # fmt: skip
