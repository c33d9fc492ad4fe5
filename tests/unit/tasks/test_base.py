"""What all ready-made evaluators share: rows, panel, names of classes, optional dependencies."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import wandb

import disteval
from disteval.errors import DataError, DistEvalError
from unit.tasks.helpers import recording

keras = tf.keras
X = np.random.default_rng(0).random((50, 4)).astype(np.float32)
Y = np.arange(50) % 10


def linear(outputs: int, loss: Any = "mse") -> Any:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(outputs)])
    model.compile(keras.optimizers.SGD(0.0), loss)
    return model


def test_data_is_required() -> None:
    with pytest.raises(DistEvalError, match=r"There is no data\. Received: validation_data=None"):
        disteval.RegressionEval(None)


@pytest.mark.parametrize("task", [disteval.ClassificationEval, disteval.RegressionEval])
def test_a_diverged_model_does_not_end_the_training(task: Any) -> None:
    if task is disteval.RegressionEval:
        model, options = linear(1), {}
    else:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model, options = linear(10, loss), {"log_probabilities": True}
    model.layers[-1].set_weights([np.full_like(w, np.nan) for w in model.get_weights()])
    evaluation = task((X, Y), rows="worst", num_rows=5, panel=True, **options)
    model.fit(X[:32], Y[:32], epochs=2, verbose=0, callbacks=[evaluation])
    assert len(evaluation.pred_table.data) == 5


@pytest.mark.parametrize("rows", ["first", "worst", "random", "stratified"])
def test_more_rows_than_samples(rows: str) -> None:
    evaluation = disteval.RegressionEval((X, X[:, 0]), rows=rows, num_rows=1000)
    linear(1).fit(X, X[:, 0], verbose=0, callbacks=[evaluation])
    assert sorted(evaluation.pred_table.get_column("index")) == list(range(50))


def test_the_panel_has_no_more_rows_than_wandb_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wandb.Table.MAX_ROWS == 10_000
    monkeypatch.setattr(wandb.Table, "MAX_ROWS", 100)
    x = np.zeros((105, 4), np.float32)
    evaluation, recorded = recording(disteval.RegressionEval, (x, x[:, 0]), panel=True)
    linear(1).fit(X, X[:, 0], verbose=0, callbacks=[evaluation])
    assert [row[1] for row in recorded["predictions"].data] == list(range(100))
    assert recorded["predictions"].columns == evaluation.pred_table.columns
    assert len(evaluation.pred_table.data) == 105


def test_metrics_in_the_logs_are_computed_once() -> None:
    task, recorded = recording(disteval.RegressionEval, (X, X), in_logs=("rmse",))
    assess, calls = task.assess, []
    task.assess = lambda *args: calls.append(threading.current_thread()) or assess(*args)
    history = linear(4).fit(X, X, epochs=2, verbose=0, callbacks=[task]).history
    assert calls == [threading.main_thread()] * 2, "before the epoch ends"
    assert history["val_rmse"][-1] == recorded["rmse"] == task.metrics["rmse"]


def test_metrics_in_the_logs_without_validation() -> None:
    task, recorded = recording(disteval.RegressionEval, (X, X), in_logs=["MAE"], validate=False)
    linear(4).fit(X, X, verbose=0, callbacks=[task])
    assert task.metrics == {"MAE": recorded["mae"]}


def test_names_in_the_logs_that_are_no_metrics() -> None:
    task = disteval.RegressionEval((X, X), in_logs=("AP",))
    with pytest.raises(DistEvalError, match=r"not a metric of RegressionEval.*'AP'.*'rmse'"):
        linear(4).fit(X, X, verbose=0, callbacks=[task])
    with pytest.raises(DistEvalError, match=r"`in_logs` must be a list.*in_logs='AP'"):
        disteval.RegressionEval((X, X), in_logs="AP")


def two_heads(nested: type) -> tuple[Any, Any]:
    """Returns a model of two outputs, and data for it, as dicts or as lists."""
    inputs = keras.Input((4,))
    outputs = {
        "cls": keras.layers.Dense(10, activation="softmax", name="cls")(inputs),
        "val": keras.layers.Dense(1, name="val")(inputs),
    }
    losses = {"cls": "sparse_categorical_crossentropy", "val": "mse"}
    targets: Any = {"cls": Y, "val": X[:, :1]}
    if nested is list:
        outputs, losses, targets = (list(n.values()) for n in (outputs, losses, targets))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.SGD(0.0), losses)
    return model, (X, targets)


@pytest.mark.parametrize("nested", [dict, list])
@pytest.mark.parametrize("key", ["name", "index"])
def test_one_of_several_outputs(nested: type, key: str) -> None:
    model, data = two_heads(nested)
    both = model.predict(X, verbose=0)
    probabilities, values = both.values() if nested is dict else both
    first, second = ("cls", "val") if key == "name" or nested is dict else (0, 1)
    task, recorded = recording(disteval.ClassificationEval, data, output_key=first, top_k=1)
    options = {"output_key": second, "label_key": second, "name": "value"}
    other, others = recording(disteval.RegressionEval, data, **options)
    model.fit(*data, verbose=0, callbacks=[task, other])
    np.testing.assert_array_equal(task.predictions["scores"][:, 0], probabilities.max(axis=1))
    assert recorded["accuracy"] == (probabilities.argmax(axis=1) == Y).mean()
    assert others["mae"] == pytest.approx(np.abs(values - X[:, :1]).mean(), abs=1e-6)
    assert {"val_loss", "val_cls_loss", "val_val_loss"} <= set(model.history.history)


def test_several_outputs_or_targets_without_a_key() -> None:
    model, data = two_heads(dict)
    told = r"2 outputs, 'cls', 'val'\. Expected: the arguments output_key= and label_key="
    with pytest.raises(DataError, match=told):
        model.fit(*data, verbose=0, callbacks=[disteval.ClassificationEval(data)])
    told = r"2 targets, 'cls', 'val'\. Expected: the arguments output_key= and label_key="
    task = disteval.ClassificationEval(data, from_logits=True)
    with pytest.raises(DataError, match=told):
        linear(10).fit(X, Y, verbose=0, callbacks=[task])
    task = disteval.ClassificationEval(data, output_key="cls", label_key="class")
    with pytest.raises(DataError, match=r"label_key='class'\. Expected: one of 'cls', 'val'"):
        model.fit(*data, verbose=0, callbacks=[task])


def test_the_only_target_may_be_in_a_dict() -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, {"cls": keras.layers.Dense(10, activation="softmax")(inputs)})
    model.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    data = (X, {"cls": Y})
    task, recorded = recording(disteval.ClassificationEval, data)
    model.fit(*data, verbose=0, callbacks=[task])
    probabilities = model.predict(X, verbose=0)["cls"]
    assert recorded["accuracy"] == (probabilities.argmax(axis=1) == Y).mean()
