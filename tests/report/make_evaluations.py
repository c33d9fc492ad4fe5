"""Logs a run with each ready-made evaluator that the page shows in a way of its own."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import tensorflow as tf
import wandb

import disteval
import tasks_data as data

keras = tf.keras
EPOCHS = 2
HOSTILE = '</dd><img src="http://127.0.0.1/x" onerror="window.hacked = 1">'


def worst() -> None:
    model = data.classifier()
    model.optimizer.learning_rate = 0.5
    x, y = data.DIGITS[:300], data.LABELS[:300]
    evaluation = disteval.ClassificationEval(
        (x, y), class_names=data.NAMES, rows="worst", num_rows=30, keep_local=True
    )
    model.fit(x, y, epochs=EPOCHS, verbose=0, callbacks=[evaluation])


def several() -> None:
    x, y = data.DIGITS[:80], data.LABELS[:80]
    hot = np.stack([y % 2 == 0, y > 4, y % 3 == 0], axis=1).astype(np.float32)
    layers = [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3, "sigmoid")]
    model = keras.Sequential(layers)
    model.compile("adam", "binary_crossentropy")
    evaluation = disteval.ClassificationEval(
        (x, hot), class_names=["even", "large", "threefold"], multi_label=True
    )
    model.fit(x, hot, epochs=EPOCHS, verbose=0, callbacks=[evaluation])


class DigitsWithNotes(disteval.ClassificationEval):
    """Adds columns that nothing but their names say something about."""

    def truth_cells(self, x: Any, label: Any) -> dict[str, Any]:
        author = "Ada" if label else HOSTILE
        pages = None if label % 2 else 10 * int(label)
        own = {"author": author, "verified": bool(label % 2), "pages": pages}
        return {**super().truth_cells(x, label), **own, "constructor": "a", HOSTILE: "b"}

    def prediction_columns(self, shown: np.ndarray) -> dict[str, list[Any]]:
        notes = [f"{HOSTILE} in epoch {self._publisher.version.epoch}"] * len(shown)
        return super().prediction_columns(shown) | {"comment": notes, "empty": [""] * len(shown)}


def notes() -> None:
    x, y = data.DIGITS[:80], data.LABELS[:80]
    evaluation = DigitsWithNotes((x, y), class_names=data.NAMES)
    data.classifier().fit(x, y, epochs=EPOCHS, verbose=0, callbacks=[evaluation])


def history() -> None:
    x, y = data.DIGITS[:300], data.LABELS[:300]
    random = np.random.default_rng(0)
    labels = np.where(random.random(300) < 0.1, (y + 1) % 10, y)
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Flatten(), keras.layers.Dense(10, "softmax")]
    model = keras.Sequential([keras.Input((8, 8, 1)), *layers])
    model.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy")
    values = random.choice([HOSTILE, "bright", "rare"], 300, p=[0.5, 0.48, 0.02])
    slices = {HOSTILE: values, "high": lambda x, y: bool(x[:4].sum() > x[4:].sum())}
    evaluation = disteval.ClassificationEval((x, labels), data.NAMES, slices=slices)
    model.fit(data.DIGITS[300:], data.LABELS[300:], epochs=4, verbose=0, callbacks=[evaluation])


def masks() -> None:
    canvases = data.canvases(30)
    x, y = canvases["images"], canvases["masks"]
    evaluation = disteval.SegmentationEval((x, y), ["background", *data.NAMES], data.IGNORED)
    data.segmenter().fit(x[:8], y[:8], epochs=EPOCHS, verbose=0, callbacks=[evaluation])


def boxes() -> None:
    canvases = data.canvases(30)
    x, y = canvases["images"], {name: canvases[name] for name in ("boxes", "classes")}
    evaluation = disteval.DetectionEval((x, y), data.NAMES, score_threshold=0.1)
    few = {name: part[:8] for name, part in y.items()}
    data.detector().fit(x[:8], few, epochs=EPOCHS, verbose=0, callbacks=[evaluation])


for name in sys.argv[1:]:
    with wandb.init(project="evaluations", id=name):
        globals()[name]()
