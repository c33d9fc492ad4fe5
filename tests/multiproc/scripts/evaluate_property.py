"""Sharded metrics are those of Keras on one device, for each example of a file.

The targets and weights are eighths, of which sums in float32 are exact. The R2 score subtracts such
sums of nearly the same size, so that rounded ones would differ in their first digits.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

import disteval
import replicas
from metric_models import assert_equal, first, keras_metrics, summed_in_float64
from sample_data import Batches, striped

strategy = replicas.start()
backend = disteval.get_backend(replicas.BACKEND)
keras = tf.keras
random = np.random.default_rng(0)
SAMPLES = 60
CLASSES = 4
TOKENS_EACH = 5
NUMBERS = random.normal(size=(SAMPLES, 6)).astype(np.float32)
TOKENS = random.integers(0, 9, (SAMPLES, TOKENS_EACH))
TOKENS[random.random(TOKENS.shape) < 0.3] = 0
TOKENS[20] = 0  # a sample that is all padding
LABELS = random.integers(0, CLASSES, SAMPLES)
VALUES = (random.integers(-16, 17, (SAMPLES, 1)) / 8).astype(np.float32)
VALUES[30] = np.nan

# Of a model: its outputs and the metrics of each, and whether it has layers, losses and weights.
Form = dict[str, Any]
TARGETS = {
    "one-hot": np.eye(CLASSES, dtype=np.float32)[LABELS],
    "labels": LABELS,
    "tokens": TOKENS % CLASSES,
    "value": VALUES,
    "summed": np.nan_to_num(VALUES),
}
EIGHTHS = (random.integers(0, 17, (SAMPLES, TOKENS_EACH)) / 8).astype(np.float32)
# Each token has a weight, since Keras cannot multiply a mask of tokens with weights of samples.
WEIGHTS = {kind: EIGHTHS[:, i] for i, kind in enumerate(TARGETS)} | {"tokens": EIGHTHS}
LOSSES = {
    "one-hot": "categorical_crossentropy",
    "labels": "sparse_categorical_crossentropy",
    "tokens": "sparse_categorical_crossentropy",
    "value": "mse",
    "summed": keras.losses.MeanSquaredError(reduction="sum"),
}
LOSS_WEIGHTS = {"labels": 0.3, "value": 2.0}
METRICS: dict[str, Callable[[str], Any]] = {
    "top_2": lambda name: keras.metrics.SparseTopKCategoricalAccuracy(2, name=name),
    "auc": lambda name: keras.metrics.AUC(name=name),
    "macro_f1": lambda name: keras.metrics.F1Score(average="macro", name=name),
    "f1": lambda name: keras.metrics.F1Score(name=name),
    "one_hot_iou": lambda name: keras.metrics.OneHotMeanIoU(CLASSES, name=name),
    "iou": lambda name: keras.metrics.MeanIoU(CLASSES, sparse_y_pred=False, name=name),
    "r2": lambda name: keras.metrics.R2Score(name=name),
    "rmse": lambda name: keras.metrics.RootMeanSquaredError(name=name),
}


def build(form: Form) -> Any:
    """Returns a compiled model."""
    outputs = form["outputs"]
    regularizer = "l2" if form["L2"] else None
    if "tokens" in outputs:
        inputs = keras.Input((TOKENS_EACH,), dtype="int32")
        x = keras.layers.Embedding(9, 4, mask_zero=True)(inputs)
    else:
        x = inputs = keras.Input(NUMBERS.shape[1:])
    x = keras.layers.Dense(5, activation="tanh", kernel_regularizer=regularizer)(x)
    if form["BatchNormalization"]:
        x = keras.layers.BatchNormalization()(x)
    model = keras.Model(inputs, one_or_all({kind: head(kind, x) for kind in outputs}))
    model.compile(
        "adam",
        loss=one_or_all({kind: LOSSES[kind] for kind in outputs}),
        loss_weights=LOSS_WEIGHTS if len(outputs) > 1 else None,
        metrics=one_or_all({kind: metrics(outputs[kind]["metrics"]) for kind in outputs}),
        weighted_metrics=one_or_all(
            {kind: metrics(outputs[kind]["weighted_metrics"], "weighted_") for kind in outputs}
        ),
    )
    return model


def one_or_all(outputs: dict[str, Any]) -> Any:
    """Returns what a model with one output takes for it, and for several a dictionary."""
    return outputs if len(outputs) > 1 else next(iter(outputs.values()))


def head(kind: str, x: Any) -> Any:
    if kind in ("value", "summed"):
        return keras.layers.Dense(1, name=kind)(x)
    return keras.layers.Dense(CLASSES, activation="softmax", name=kind)(x)


def metrics(names: list[str], prefix: str = "") -> list[Any]:
    """Returns metrics, which Keras makes itself of some names."""
    return [METRICS[name](prefix + name) if name in METRICS else name for name in names]


def data_of(form: Form) -> tuple[Any, ...]:
    outputs = form["outputs"]
    x = TOKENS if "tokens" in outputs else NUMBERS
    y = one_or_all({kind: TARGETS[kind] for kind in outputs})
    if not form["sample weights"]:
        return x, y
    return x, y, one_or_all({kind: WEIGHTS[kind] for kind in outputs})


def dataset(data: Any) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(data)


def dealt(data: Any, size: int) -> Callable[[int, int], tf.data.Dataset]:
    """Returns a function source whose shards are whole batches, the same ones for any number."""
    numbered = striped(data)(0, 1)
    return lambda index, count: numbered.batch(size).shard(count, index)


SOURCES: dict[str, Callable[[Any, int], Any]] = {
    "arrays": lambda data, size: data,
    "dataset": lambda data, size: dataset(data),
    "batched dataset": lambda data, size: dataset(data).batch(size),
    "PyDataset": Batches,
    "sharded": lambda data, size: disteval.sharded(data, lambda elements: elements),
    "sharded batches": lambda data, size: disteval.sharded(data, lambda d: d.batch(size)),
    "function": lambda data, size: lambda *shard: dealt(data, size)(*shard).unbatch(),
    "batched function": dealt,
}


class Case:
    """A model and a copy of it on one device, each of which is traced once for all examples."""

    def __init__(self, form: Form) -> None:
        self.data = data_of(form)
        with strategy.scope():
            self.model = build(form)
        self.single = build(form)
        random = np.random.default_rng(0)
        # Of this range, also a variance can be.
        weights = [random.uniform(0.1, 1, value.shape) for value in self.single.get_weights()]
        for model in (self.model, self.single):
            model.set_weights(weights)
        if backend.is_chief:
            # `test_on_batch` weighs the loss of an output by the size of the batch, where it was
            # traced for that size. The second size makes it a trace for any. Only batches of the
            # first size still go to the first trace, and no example has so large ones.
            for size in (SAMPLES, SAMPLES - 1):
                self.single.test_on_batch(*first(self.data, size))

    def check(
        self, source: str, count: int, batch_size: int, num_samples: int | None
    ) -> tuple[float, float]:
        """Returns how far the metrics are from those of Keras on the chief, and from exact sums."""
        got = disteval.evaluate(
            self.model,
            SOURCES[source](first(self.data, count), batch_size),
            batch_size=batch_size,
            num_samples=num_samples,
            backend=replicas.BACKEND,
        )
        with backend.together("comparing") as agreement:
            agreement.report = repr(got)  # to the last digit, and with NaN equal to itself
        assert set(agreement.reports) == {repr(got)}, agreement.reports
        if not backend.is_chief:
            return 0.0, 0.0
        data = first(self.data, min(count, num_samples or count))
        return (
            assert_equal(got, keras_metrics(self.single, data, batch_size), tolerance=1e-6),
            assert_equal(got, summed_in_float64(self.single, data, batch_size)),
        )


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text())
    cases = [Case(form) for form in given["forms"]]
    found = []
    for example in given["examples"]:
        form, *arguments = example
        try:
            found.append(cases[form].check(*arguments))
        except BaseException:
            print(f"{given['forms'][form]} fails for {arguments}")
            raise
    keras_sums, exact_sums = (max(column) for column in zip(*found, strict=True))
    print(f"{keras_sums:.2g} from Keras, {exact_sums:.2g} from exact sums")
    sys.stdout.write(f"{len(found)} equal\n")
