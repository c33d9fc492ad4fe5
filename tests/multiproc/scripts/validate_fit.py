"""Callbacks of Keras and W&B act alike on all ranks, with no `validation_data` in `fit`."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import wandb
from wandb.integration.keras import WandbMetricsLogger

import disteval
import replicas

strategy = replicas.start()
backend = disteval.get_backend(replicas.BACKEND)
keras = tf.keras
directory = Path(sys.argv[1]) / f"rank_{backend.rank}"
random = np.random.default_rng(0)
X = random.normal(size=(96, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)
# Labels that cannot be learned, so that the loss rises once the model is sure of itself.
X_VAL, Y_VAL = random.normal(size=(45, 4)).astype(np.float32), random.integers(0, 2, 45)
EPOCHS = 12


class Model(keras.Model):
    """Averages gradients over the ranks, whatever the version of Keras."""

    def train_step(self, data: Any) -> Any:
        x, y = data
        tape = tf.GradientTape()
        if replicas.BACKEND == "horovod":
            import horovod.tensorflow as hvd

            tape = hvd.DistributedGradientTape(tape)
        with tape:
            outputs = self(x, training=True)
            loss = self.compute_loss(x=x, y=y, y_pred=outputs)
        gradients = tape.gradient(loss, [v.value for v in self.trainable_variables])
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
        return self.compute_metrics(x, y, outputs)


class Eval(disteval.DistEvalCallback):
    """Logs no rows."""

    def __init__(self, **options: Any) -> None:
        data = (X_VAL, Y_VAL)
        options = {"validation_data": data, "backend": replicas.BACKEND, "batch_size": 8} | options
        super().__init__(["x"], ["y"], **options)

    def add_ground_truth(self, logs: dict[str, float] | None = None) -> None:
        pass

    def add_model_predictions(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        pass


def network(learning_rate: float = 0.5) -> Any:
    keras.utils.set_random_seed(0)
    with strategy.scope():
        inputs = keras.Input((4,))
        hidden = keras.layers.Dense(16, activation="relu")(inputs)
        hidden = keras.layers.BatchNormalization()(hidden)
        outputs = keras.layers.Dense(2, activation="softmax")(hidden)
        model = (Model if replicas.BACKEND == "horovod" else keras.Model)(inputs, outputs)
        model.compile(
            keras.optimizers.SGD(learning_rate),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
            jit_compile=False,
        )
    return model


def fit(model: Any, *callbacks: Any, epochs: int = EPOCHS) -> dict[str, list[float]]:
    """Trains on the samples of this rank, and returns the history."""
    own = slice(backend.rank, None, backend.size)
    options = {"shuffle": False, "verbose": 0, "batch_size": 8 * strategy.num_replicas_in_sync}
    history = model.fit(X[own], Y[own], epochs=epochs, callbacks=[*callbacks], **options)
    return dict(history.history)


def on_all_ranks(name: str, value: Any) -> Any:
    """Returns a value, which has to be the same on all ranks to the last digit."""
    with backend.together(name) as agreement:
        agreement.report = repr(value)
    assert set(agreement.reports) == {repr(value)}, (name, agreement.reports)
    return value


def validation(history: dict[str, list[float]]) -> dict[str, list[float]]:
    """Returns the part of a history that comes from our callback."""
    return {name: values for name, values in history.items() if name.startswith("val_")}


def weights_of(model: Any) -> str:
    """Returns a digest of the trained weights, which ranks share."""
    arrays = [np.asarray(v) for v in model.trainable_variables]
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def history_and_evaluate() -> None:
    model, evaluate = network(), Eval()
    history = on_all_ranks("history", validation(fit(model, evaluate, epochs=3)))
    assert set(history) == {"val_loss", "val_accuracy"}
    last = {name: values[-1] for name, values in history.items()}
    assert last == {f"val_{name}": value for name, value in evaluate.metrics.items()}
    again = disteval.evaluate(model, (X_VAL, Y_VAL), batch_size=8, backend=replicas.BACKEND)
    assert again == evaluate.metrics


def early_stopping() -> None:
    stopping = keras.callbacks.EarlyStopping("val_loss", patience=2, restore_best_weights=True)
    model = network()
    losses = on_all_ranks("stopping", validation(fit(model, Eval(), stopping)))["val_loss"]
    assert len(losses) < EPOCHS, losses
    assert len(losses) == int(np.argmin(losses)) + 3, "two epochs after the best one"
    on_all_ranks("restored", weights_of(model))


def model_checkpoint() -> None:
    path = str(directory / "best.weights.h5")
    saving = keras.callbacks.ModelCheckpoint(
        path, "val_loss", save_best_only=True, save_weights_only=True
    )
    model = network()
    losses = on_all_ranks("losses", validation(fit(model, Eval(), saving)))["val_loss"]
    assert np.argmin(losses) < len(losses) - 1, "a later epoch is not the best"
    model.load_weights(path)
    on_all_ranks("saved", weights_of(model))
    if replicas.BACKEND != "mirrored":  # the statistics of each rank are its own
        return
    got = disteval.evaluate(model, (X_VAL, Y_VAL), batch_size=8)
    assert got["loss"] == min(losses)


def reduced_learning_rate() -> None:
    reducing = keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.5, patience=1)
    history = on_all_ranks("rates", fit(network(), Eval(), reducing)["learning_rate"])
    assert history[-1] < history[0]


def terminate_on_nan() -> None:
    history = fit(network(1e30), Eval(), keras.callbacks.TerminateOnNaN())
    losses = on_all_ranks("not a number", validation(history))["val_loss"]
    assert len(losses) < EPOCHS
    assert np.isnan(losses[-1])


def backup_and_restore() -> None:
    class Interrupted(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                raise RuntimeError("planted")

    def backup() -> Any:
        return keras.callbacks.BackupAndRestore(str(directory / "backup"))

    with pytest.raises(RuntimeError, match="planted"):
        fit(network(), Eval(), backup(), Interrupted())
    history = on_all_ranks("resumed", validation(fit(network(), Eval(), backup(), epochs=4)))
    whole = on_all_ranks("whole", validation(fit(network(), Eval(), epochs=4)))
    assert len(history["val_loss"]) == 2
    if replicas.BACKEND == "horovod" and backend.size > 1:
        return  # each rank restores its own statistics, in which the backup of the chief differs
    np.testing.assert_allclose(history["val_loss"], whole["val_loss"][2:], rtol=1e-6)


def metrics_in_wandb() -> None:
    logger = [WandbMetricsLogger()] if backend.is_chief else []
    history = fit(network(), Eval(), *logger, epochs=2)
    if backend.is_chief:
        assert wandb.run.summary["epoch/val_loss"] == history["val_loss"][-1]


def metrics_of_an_evaluator() -> None:
    options = {"backend": replicas.BACKEND, "batch_size": 8, "in_logs": ("F1",)}
    evaluate = disteval.ClassificationEval((X_VAL, Y_VAL), **options)
    stopping = keras.callbacks.EarlyStopping("val_F1", mode="max", patience=1)
    scores = on_all_ranks("F1", fit(network(), evaluate, stopping)["val_F1"])
    assert len(scores) < EPOCHS, scores
    assert evaluate.metrics["F1"] == scores[-1] > 0


def stopped_on_one_rank() -> None:
    """Without our metrics, a rank that stops alone is an error on every rank."""
    stop = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: setattr(model, "stop_training", backend.rank > 0)
    )
    model = network()
    error = pytest.raises(disteval.DistEvalError, match="out of step")
    with error if backend.size > 1 else contextlib.nullcontext():
        fit(model, Eval(), stop)


os.environ |= {f"WANDB_{name}": sys.argv[1] for name in ("DIR", "DATA_DIR", "CACHE_DIR")}
directory.mkdir(parents=True)
if backend.is_chief:
    wandb.init(mode="offline")
for case in (
    history_and_evaluate,
    early_stopping,
    model_checkpoint,
    reduced_learning_rate,
    terminate_on_nan,
    backup_and_restore,
    metrics_in_wandb,
    metrics_of_an_evaluator,
    stopped_on_one_rank,
):
    case()
    print(f"passed {case.__name__}")
