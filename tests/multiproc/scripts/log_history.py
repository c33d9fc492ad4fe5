"""The history of samples equals what is computed anew from the saved models of all versions.

Arguments: a folder, the first epoch, and the one after the last. A later call resumes the run.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
import wandb

import disteval
import replicas

FOLDER, FIRST, LAST = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])

strategy = replicas.start()
backend = disteval.get_backend(replicas.BACKEND)
keras = tf.keras
random = np.random.default_rng(0)
X = random.normal(size=(64, 4)).astype(np.float32)
Y = random.integers(0, 3, 64)  # nothing to learn: predictions go back and forth
X_VAL = random.normal(size=(41, 4)).astype(np.float32)
Y_VAL = np.where(random.random(41) < 0.2, 0, X_VAL[:, :3].argmax(axis=1))
LIGHT = np.where(X_VAL[:, 3] > 0, "bright", "dark")
SHOWN = 9


class Kept:
    """Mixed into an evaluator: keeps the tables that it logs."""

    def log_pred_table(self, *args, **kwargs):
        table, tables = self.pred_table, self.__dict__.setdefault("tables", [])
        tables.append({name: table.get_column(name) for name in table.columns})
        super().log_pred_table(*args, **kwargs)


class Classes(Kept, disteval.ClassificationEval):
    pass


class Numbers(Kept, disteval.RegressionEval):
    pass


class Saved(keras.callbacks.Callback):
    """Keeps the weights of each epoch, on the chief."""

    def on_epoch_end(self, epoch, logs=None):
        if backend.is_chief:
            self.model.save_weights(FOLDER / f"{epoch}.weights.h5")


def build() -> keras.Model:
    keras.utils.set_random_seed(0)
    with strategy.scope():
        inputs = keras.Input((4,))
        layers = {"kind": keras.layers.Dense(3, "softmax"), "size": keras.layers.Dense(1)}
        model = keras.Model(inputs, {name: layer(inputs) for name, layer in layers.items()})
        losses = {"kind": "sparse_categorical_crossentropy", "size": "mse"}
        weights = {"kind": 1.0, "size": 0.003}
        model.compile(keras.optimizers.SGD(5.0), losses, loss_weights=weights, jit_compile=False)
    return model


def brute_force(probabilities: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the columns of the newest version, from the probabilities of all versions."""
    classes = np.stack([each.argmax(axis=1) for each in probabilities])
    own = np.stack([each[np.arange(41), Y_VAL] for each in probabilities])
    right = classes == Y_VAL
    columns = {
        "times_forgotten": (right[:-1] & ~right[1:]).sum(axis=0),
        "mean_confidence": own.mean(axis=0),
        "variability": own.std(axis=0),
        "correct": right[-1],
    }
    if len(probabilities) > 1:
        columns["previous"] = classes[-2]
        columns["changed"] = classes[-1] != classes[-2]
        columns["loss_change"] = np.log(own[-2]) - np.log(own[-1])
        columns["fixed"] = (right[-1] & ~right[-2]).sum()
        columns["broken"] = (right[-2] & ~right[-1]).sum()
    return columns


def check(classes: Classes, numbers: Numbers) -> None:
    """Compares all tables with the models that were saved."""
    model = build()
    outputs = []
    for epoch in range(LAST):
        model.load_weights(FOLDER / f"{epoch}.weights.h5")
        outputs.append({n: np.asarray(v) for n, v in model(X_VAL, training=False).items()})
    probabilities = [each["kind"] for each in outputs]
    errors = [np.square(each["size"][:, 0] - X_VAL[:, 0]) for each in outputs]
    forgotten = 0
    for epoch in range(FIRST, LAST):
        table = classes.tables[epoch - FIRST]
        expected = brute_force(probabilities[: epoch + 1])
        forgotten += expected["times_forgotten"].sum()
        shown = np.array(table["index"])
        assert len(shown) == SHOWN
        if not epoch:
            assert table["previous"] == [None] * SHOWN
        for name in set(expected) & set(table):
            np.testing.assert_allclose(table[name], expected[name][shown], atol=1e-5, err_msg=name)
        assert (np.diff(table["loss"]) <= 1e-6).all(), "the worst first"
        change = numbers.tables[epoch - FIRST]["loss_change"]
        if epoch:
            np.testing.assert_allclose(change, errors[epoch] - errors[epoch - 1], atol=1e-5)
    assert forgotten > 0, "there is something to see"
    shown_sets = {tuple(table["index"]) for table in classes.tables}
    assert FIRST or len(shown_sets) > 1, "other rows are shown"
    counts = {name: int(expected[name]) for name in ("fixed", "broken")}
    summary = {name: wandb.run.summary[f"eval/{name}"] for name in counts}
    assert summary == counts, (summary, counts)
    accuracy = (probabilities[-1].argmax(axis=1) == Y_VAL)[LIGHT == "dark"].mean()
    assert abs(wandb.run.summary["eval/accuracy/light=dark"] - accuracy) < 1e-9


if backend.is_chief:
    wandb.init(project="history", id="history", resume="allow", dir=FOLDER)
shared = {"validation_data": (X_VAL, {"kind": Y_VAL, "size": X_VAL[:, 0]}), "batch_size": 4}
shared["backend"] = replicas.BACKEND
options = {"rows": "worst", "num_rows": SHOWN, "slices": {"light": LIGHT}}
classes = Classes(**shared, output_key="kind", **options)
numbers = Numbers(**shared, output_key="size", name="size")
model = build()
if FIRST:
    model.load_weights(FOLDER / f"{FIRST - 1}.weights.h5")
model.fit(
    X,
    {"kind": Y, "size": X[:, 0]},
    batch_size=16,
    initial_epoch=FIRST,
    epochs=LAST,
    shuffle=False,
    verbose=0,
    callbacks=[classes, numbers, Saved()],
)
if backend.is_chief:
    check(classes, numbers)
print("all passed")
