"""What an evaluation in one process does to the logs, and that it leaves training as it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import wandb

import disteval
from disteval.backends.status import Status
from disteval.errors import MetricError
from disteval.inference.metrics import MetricsReport
from disteval.inference.session import DataReport
from disteval.job import StartReport
from metric_models import CASES, IMAGES, LABELS, classifier, keras_metrics

keras = tf.keras
TRAIN, VALIDATION = (IMAGES[:60], LABELS[:60]), (IMAGES[60:110], LABELS[60:110])


class Eval(disteval.DistEvalCallback):
    """Logs nothing, and keeps what the versions hold."""

    def __init__(self, data: Any = VALIDATION, **options: Any) -> None:
        super().__init__(["x"], ["y"], validation_data=data, batch_size=8, **options)
        self.versions: list[Any] = []

    def add_ground_truth(self, logs: dict[str, float] | None = None) -> None:
        pass

    def add_model_predictions(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        pass

    def log_pred_table(self, **options: Any) -> None:
        version = self._publisher.version
        self.versions.append((version.logs, version.metadata["logs"], version.aliases))


@pytest.fixture(autouse=True, scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    directory = tmp_path_factory.mktemp("wandb")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DIR", "DATA_DIR", "CACHE_DIR", "CONFIG_DIR"):
            patch.setenv(f"WANDB_{name}", str(directory))
        wandb.teardown()  # W&B reads its settings once
        with wandb.init(mode="offline"):
            yield
        wandb.teardown()


def network(**options: Any) -> Any:
    """Returns a network with dropout and with random numbers of its own."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            keras.layers.Flatten(),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(4, activation="softmax"),
        ]
    )
    options = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]} | options
    model.compile("adam", **options)
    return model


def fit(model: Any, *callbacks: Any, epochs: int = 3, **options: Any) -> dict[str, list[float]]:
    """Returns the history of a training."""
    history = model.fit(
        *TRAIN, batch_size=8, epochs=epochs, verbose=0, callbacks=[*callbacks], **options
    )
    return dict(history.history)


def test_the_metrics_are_where_users_look_for_them() -> None:
    model = network()
    evaluate = Eval(monitor="val_loss", mode="max")
    history = fit(model, evaluate)
    want = keras_metrics(model, VALIDATION, 8)
    assert evaluate.metrics == pytest.approx(want, abs=1e-6)
    assert len(history["val_loss"]) == len(evaluate.versions) == 3
    assert history["val_loss"][-1] == evaluate.metrics["loss"]
    assert history["val_accuracy"][-1] == evaluate.metrics["accuracy"]
    for epoch, (logs, metadata, aliases) in enumerate(evaluate.versions):
        assert logs == metadata == {name: values[epoch] for name, values in history.items()}
        is_best = history["val_loss"][epoch] == max(history["val_loss"][: epoch + 1])
        assert ("best" in aliases) is is_best


def test_without_validation() -> None:
    evaluate = Eval(validate=False)
    assert set(fit(network(), evaluate)) == {"loss", "accuracy"}
    assert evaluate.metrics == {}


@pytest.mark.parametrize("validate", ["auto", True])
def test_fit_that_validates_as_well(validate: str | bool, caplog: pytest.LogCaptureFixture) -> None:
    evaluate = Eval(validate=validate)
    history = fit(network(), evaluate, validation_data=(IMAGES[:8], LABELS[:8]))
    alone = fit(network(), validation_data=(IMAGES[:8], LABELS[:8]))
    assert history == alone, "what fit computed of other data is left"
    assert bool(evaluate.metrics) is (validate is True)
    assert len([message for message in caplog.messages if "fit() validates" in message]) == 1


@pytest.mark.parametrize(("log_freq", "epochs"), [(3, []), (4, [0, 1, 2]), (8, [0, 1, 2])])
def test_metrics_in_mid_epoch_are_not_those_of_the_epoch(log_freq: int, epochs: list[int]) -> None:
    """An epoch has 8 batches."""
    seen = []

    class Seen(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if "val_loss" in logs:
                seen.append(epoch)

    evaluate = Eval(log_freq=log_freq)
    fit(network(), evaluate, Seen())
    assert seen == (epochs or [2]), "after 24 batches, an evaluation is due with each frequency"
    assert all("val_loss" in logs for logs, _, _ in evaluate.versions)


@pytest.mark.parametrize("options", [{"log_freq": 3}, {"log_freq": 3, "validate": False}, {}])
def test_training_is_the_same_to_the_bit(options: dict[str, Any]) -> None:
    model, alone = network(), network()
    history, expected = fit(model, Eval(**options)), fit(alone)
    assert {name: history[name] for name in expected} == expected
    for own, other in zip(model.variables, alone.variables, strict=True):
        np.testing.assert_array_equal(own, other)
    for own, other in zip(model.optimizer.variables, alone.optimizer.variables, strict=True):
        np.testing.assert_array_equal(own, other)


@pytest.mark.parametrize(
    "options", [{"steps_per_execution": 3}, {"run_eagerly": True}, {"jit_compile": True}], ids=str
)
def test_options_of_compile(options: dict[str, Any]) -> None:
    model = network(**options)
    evaluate = Eval()
    fit(model, evaluate, epochs=2)
    assert evaluate.metrics == pytest.approx(keras_metrics(model, VALIDATION, 8), abs=1e-6)


def test_values_that_are_no_numbers_stay_out_of_the_metadata() -> None:
    model = classifier(keras)
    model.compile(
        "adam", "categorical_crossentropy", metrics=[keras.metrics.F1Score(None, name="f1")]
    )
    images, labels = CASES["classifier"].data[:2]
    evaluate = Eval((images[:20], labels[:20]))
    model.fit(images[:20], labels[:20], verbose=0, callbacks=[evaluate])
    ((logs, metadata, _),) = evaluate.versions
    assert logs["val_f1"].shape == (4,)
    assert "val_f1" not in metadata
    assert metadata["val_loss"] == logs["val_loss"]


class Peak(keras.metrics.Metric):
    """The largest error, which is no sum."""

    def __init__(self) -> None:
        super().__init__(name="peak")
        self.value = self.add_weight(shape=(), initializer="zeros", name="value")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.value.assign(tf.maximum(self.value, tf.reduce_max(y_pred)))

    def result(self) -> Any:
        return self.value


def test_what_cannot_be_exact_is_left_out_with_one_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    history = fit(network(metrics=["accuracy", Peak()]), Eval())
    assert set(history) == {"loss", "accuracy", "peak", "val_loss", "val_accuracy"}
    (message,) = [message for message in caplog.messages if "cannot be summed" in message]
    assert "peak: its state after a batch is not the state before plus" in message


def test_what_cannot_be_exact_is_refused_before_training() -> None:
    model = network(metrics=["accuracy", Peak()])
    with pytest.raises(MetricError, match="peak: its state after a batch"):
        fit(model, Eval(validate=True))
    assert int(model.optimizer.iterations) == 0


def test_a_model_without_metrics_trains_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    evaluate = Eval(IMAGES[:20])
    assert set(fit(network(), evaluate)) == {"loss", "accuracy"}
    assert evaluate.metrics == {}
    assert not caplog.messages


def test_the_report_of_the_start_survives_the_wire() -> None:
    metrics = MetricsReport([("loss/total", "float32", ())], {"peak": "a maximum"}, None, False)
    identity = {"entity": "e", "project": "p", "id": "1"}
    report = StartReport(DataReport("digest", metrics), 30, identity, "a1b2")
    assert Status.decode(Status(0, "here", report=report).encode()).report == report
