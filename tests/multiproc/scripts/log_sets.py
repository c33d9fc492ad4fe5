"""Three sets of validation data in one training: apart in W&B, and in the logs of every rank."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import tensorflow as tf
import wandb

import disteval
import replicas

strategy = replicas.start()
backend = disteval.get_backend(replicas.BACKEND)
keras = tf.keras
random = np.random.default_rng(0)
X = random.normal(size=(60, 4)).astype(np.float32)
Y = X[:, :3].argmax(axis=1)
HOSTILE = "<script>alert(1)</script> 🌙"


class Steps(disteval.DistEvalCallback):
    """Another kind of table, after each second batch."""

    def __init__(self) -> None:
        super().__init__(
            ["number"],
            ["step", "number", "largest"],
            validation_data=(X[:7], Y[:7]),
            log_freq=2,
            name=HOSTILE,
            backend=replicas.BACKEND,
        )

    def add_ground_truth(self, logs=None):
        for i, _ in enumerate(self.samples()):
            self.data_table.add_data(i)

    def add_model_predictions(self, epoch, logs=None):
        self.add_predictions(largest=self.predictions.max(axis=1))


class Logs(keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.of_epochs: list[dict[str, float]] = []

    def on_epoch_end(self, epoch, logs=None):
        self.of_epochs.append(dict(logs))


def classification(first: int, last: int, name: str | None, **options: object):
    data = (X[first:last], Y[first:last])
    return disteval.ClassificationEval(data, name=name, backend=replicas.BACKEND, **options)


def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    with strategy.scope():
        network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
        network.compile(
            keras.optimizers.SGD(0.0),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
            jit_compile=False,
        )
    return network


def sets_are_apart(run_id: str) -> None:
    if backend.is_chief:
        wandb.init(project="sets", id=run_id)
    plain = classification(0, 30, None)
    night = classification(30, 55, "night", monitor="val_night_loss", in_logs=("f1",))
    logs = Logs()
    trained = model()
    callbacks = [plain, night, Steps(), logs]
    trained.fit(X[:32], Y[:32], batch_size=8, epochs=2, verbose=0, callbacks=callbacks)
    for of_epoch in logs.of_epochs:
        assert {"val_loss", "val_accuracy", "val_night_loss", "val_night_f1"} <= set(of_epoch)
        assert of_epoch["val_loss"] == plain.metrics["loss"]
        assert of_epoch["val_night_loss"] == night.metrics["loss"]
    expected = disteval.evaluate(trained, (X[30:55], Y[30:55]), backend=replicas.BACKEND)
    assert night.metrics["loss"] == expected["loss"] != plain.metrics["loss"]


def equal_names_are_an_error_before_training() -> None:
    for name in (None, "night"):
        callbacks = [classification(0, 30, name), classification(30, 60, name)]
        with pytest.raises(disteval.DistEvalError, match=f"the same name.*name={name!r} twice"):
            model().fit(X[:32], Y[:32], epochs=1, verbose=0, callbacks=callbacks)
    # After the failed trainings, the same names are free.
    callbacks = [classification(0, 30, None), classification(30, 60, "night")]
    model().fit(X[:32], Y[:32], epochs=1, verbose=0, callbacks=callbacks)


if __name__ == "__main__":
    sets_are_apart(sys.argv[1])
    if backend.is_chief:
        wandb.finish()
        wandb.init(mode="disabled")
    equal_names_are_an_error_before_training()
    print("all passed")
