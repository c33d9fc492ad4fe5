"""Options are checked in the constructor, versions are marked as best, and loops of one's own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import wandb

import disteval


class Eval(disteval.DistEvalCallback):
    """Logs nothing."""

    def add_ground_truth(self, logs: dict[str, float] | None = None) -> None:
        pass

    def add_model_predictions(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reference": "copy"}, r"reference='copy'.*'media', 'row'"),
        ({"sync_weights": True}, r"sync_weights=True.*'auto', 'check', 'off'"),
        ({"on_log_error": "ignore"}, r"on_log_error='ignore'.*'warn', 'raise'"),
        ({"verbose": "no"}, r"verbose='no'.*'auto', 0, 1"),
        ({"num_samples": 0}, r"`num_samples` must be positive.*num_samples=0"),
        ({"batch_size": 1.5}, r"`batch_size` must be positive.*batch_size=1.5"),
        ({"timeout": None}, r"timeout=None.*positive number"),
        ({"timeout": -1}, r"timeout=-1.*positive number"),
        ({"partitions": 0}, r"partitions=0.*positive integer"),
        ({"partitions": 1.5}, r"partitions=1.5.*positive integer"),
        ({"partitions": 2, "reference": "row"}, r"partitions=2.*partitions=1"),
        ({"log_freq": 0}, r"log_freq=0.*a number of batches"),
        ({"validate": "yes"}, r"validate='yes'.*'auto', True, False"),
        ({"validate": True, "validation_data": None}, r"validate=True with validation_data=None"),
        ({"mode": "best"}, r"mode='best'"),
        ({"backend": "nccl"}, r"backend='nccl'"),
    ],
)
def test_options_are_checked_early(options: dict[str, Any], message: str) -> None:
    with pytest.raises(disteval.DistEvalError, match=message):
        Eval(["x"], ["y"], **{"validation_data": np.zeros((3, 1)), **options})


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[wandb.Run]:
    for name in ("DIR", "DATA_DIR", "CACHE_DIR", "CONFIG_DIR"):
        monkeypatch.setenv(f"WANDB_{name}", str(tmp_path))
    wandb.teardown()  # W&B reads its settings once.
    with wandb.init(mode="offline") as run:
        yield run
    wandb.teardown()


X = np.arange(12, dtype=np.float32).reshape(12, 1) / 12


def network(compiled: bool = True) -> Any:
    model = tf.keras.Sequential([tf.keras.Input((1,)), tf.keras.layers.Dense(1)])
    if compiled:
        model.compile("sgd", "mse")
    return model


class Versions(Eval):
    """Keeps what would be logged."""

    def __init__(self, **options: Any) -> None:
        super().__init__(["x"], ["y"], validation_data=(X, 2 * X), batch_size=5, **options)
        self.versions: list[Any] = []
        self.begun = 0

    def add_ground_truth(self, logs: dict[str, float] | None = None) -> None:
        self.begun += 1

    def add_model_predictions(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.add_metrics({"mean": float(self.predictions.mean())})

    def log_pred_table(self, **options: Any) -> None:
        version = self._publisher.version
        self.versions.append((version.aliases, version.logs, version.metadata))


def test_the_best_version_gets_an_alias(offline: wandb.Run) -> None:
    class Logs(Versions):
        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            super().on_epoch_end(epoch, {"loss": [3.0, 2.0, 2.5][epoch]})

    callback = Logs(monitor="loss")
    network().fit(X, X, epochs=3, verbose=0, callbacks=[callback])
    assert [aliases for aliases, _, _ in callback.versions] == [
        ["latest", "epoch_0", "best"],
        ["latest", "epoch_1", "best"],
        ["latest", "epoch_2"],
    ]


def test_the_best_by_a_metric_of_the_hooks(offline: wandb.Run) -> None:
    model = network()
    with Versions(monitor="mean", mode="max") as callback:
        for epoch, bias in enumerate([0.0, 5.0, 3.0]):
            model.layers[0].bias.assign([bias])
            callback.evaluate(model, epoch)
    assert ["best" in aliases for aliases, _, _ in callback.versions] == [True, True, False]


@pytest.mark.parametrize("compiled", [True, False])
def test_a_loop_of_ones_own(compiled: bool, offline: wandb.Run) -> None:
    model = network(compiled)
    with Versions() as callback:
        for epoch in range(3):
            logs = {"loss": 0.5}
            found = callback.evaluate(model, epoch, logs)
            np.testing.assert_allclose(callback.predictions, model.predict(X, verbose=0), atol=1e-6)
            assert found == callback.metrics
            expected = model.evaluate(X, 2 * X, verbose=0) if compiled else None
            assert found.get("loss") == (pytest.approx(expected, abs=1e-6) if compiled else None)
            assert logs == {"loss": 0.5} | {f"val_{name}": found[name] for name in found}
            model.layers[0].bias.assign_add([1.0])
    assert callback.begun == 1, "the ground truth is logged once"
    assert [metadata["epoch"] for _, _, metadata in callback.versions] == [0, 1, 2]
    assert callback.versions[0][1]["loss"] == 0.5
    callback.close()  # again does nothing
    assert len(callback.versions) == 3


def test_the_step_is_that_of_the_optimizer(offline: wandb.Run) -> None:
    model = network()
    with Versions() as callback:
        for epoch in range(2):
            model.fit(X, X, batch_size=4, verbose=0)
            callback.evaluate(model, epoch)
    assert [metadata["step"] for _, _, metadata in callback.versions] == [3, 6]


def test_other_models_and_loops_after_fit(offline: wandb.Run) -> None:
    callback = Versions()
    network().fit(X, X, epochs=2, verbose=0, callbacks=[callback])
    for epoch in (7, 8):
        model = network()
        callback.evaluate(model, epoch)
        np.testing.assert_allclose(callback.predictions, model.predict(X, verbose=0), atol=1e-6)
    callback.close()
    assert [metadata["epoch"] for _, _, metadata in callback.versions] == [0, 1, 7, 8]


def test_an_error_in_the_block_keeps_what_was_logged(offline: wandb.Run) -> None:
    callback = Versions()
    callback.evaluate(network(), 0)
    with pytest.raises(ZeroDivisionError), callback:
        raise ZeroDivisionError
    assert len(callback.versions) == 1


def test_evaluate_of_keras_evaluates(offline: wandb.Run) -> None:
    model, callback = network(), Versions()
    model.fit(X, X, epochs=3, verbose=0, callbacks=[callback])
    values = model.evaluate(X, X, verbose=0, return_dict=True, callbacks=[callback])
    assert set(values) == {"loss"}, "what Keras returns is left"
    assert len(callback.versions) == 4
    aliases, logs, metadata = callback.versions[-1]
    assert (aliases, metadata["epoch"]) == (["latest", "epoch_2"], 2)
    assert set(logs) == {"loss", "val_loss"}
    fresh = Versions()
    network().evaluate(X, X, verbose=0, callbacks=[fresh])
    assert [metadata["epoch"] for _, _, metadata in fresh.versions] == [0]
    # Within `fit`, it is the validation of `fit`.
    model.fit(X, X, verbose=0, callbacks=[callback], validation_data=(X, X))
    assert len(callback.versions) == 5


@pytest.mark.parametrize(
    ("model", "epoch", "told"),
    [
        (None, 0, "`model` is not a Keras model. Received: model=None"),
        (tf.keras.Model, 0, "`model` is not a Keras model. Received: model=the class"),
        ("net", 0, "`model` is not a Keras model"),
        (network(), -1, "epoch=-1"),
        (network(), 1.0, r"epoch=1\.0"),
        (network(), None, "epoch=None"),
    ],
)
def test_wrong_calls_of_evaluate(model: Any, epoch: Any, told: str, offline: wandb.Run) -> None:
    with pytest.raises(disteval.DistEvalError, match=told):
        Versions().evaluate(model, epoch)


def test_a_callback_leaves_no_thread(offline: wandb.Run) -> None:
    model = tf.keras.Sequential([tf.keras.Input((1,)), tf.keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    before = set(threading.enumerate())
    for _ in range(3):
        callback = Eval(["x"], ["y"], validation_data=np.zeros((3, 1), np.float32))
        model.fit(np.zeros((4, 1)), np.zeros((4, 1)), epochs=2, verbose=0, callbacks=[callback])
        left = [t for t in set(threading.enumerate()) - before if t.name.startswith("disteval")]
        for thread in left:
            thread.join(30)
        assert not [thread.name for thread in left if thread.is_alive()]
