"""What all ready-made evaluators share: rows, panel, names of classes, optional dependencies."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import disteval
from disteval.errors import DataError, DistEvalError
from disteval.tasks.base import by_class, check_count, checked_names, evenly_spaced
from unit.tasks.helpers import recording

keras = tf.keras
X = np.random.default_rng(0).random((50, 4)).astype(np.float32)
Y = np.arange(50) % 10


def linear(outputs: int, loss: Any = "mse") -> Any:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(outputs)])
    model.compile(keras.optimizers.SGD(0.0), loss)
    return model


@pytest.mark.parametrize("names", [["a", "b", "a"], "abc", {0: "a", 1: "b", 2: "c"}], ids=str)
def test_names_that_do_not_tell_classes_apart(names: Any) -> None:
    for task in (disteval.ClassificationEval, disteval.SegmentationEval, disteval.DetectionEval):
        with pytest.raises(DistEvalError, match=r"`class_names` must be .* Received: class"):
            task((X, Y), class_names=names)


def test_class_names() -> None:
    names = checked_names(np.array(["a", "b"]))
    assert names == ["a", "b"]
    check_count(names, 2)
    with pytest.raises(DataError, match="Received: 2 class_names for a model of 3 classes"):
        check_count(names, 3)


def test_data_is_required() -> None:
    with pytest.raises(DistEvalError, match=r"There is no data\. Received: validation_data=None"):
        disteval.RegressionEval(None)


@pytest.mark.parametrize(
    ("module", "build"),
    [
        ("sklearn", lambda: disteval.ClassificationEval((X, Y))),
        ("sklearn", lambda: disteval.RegressionEval((X, Y))),
        ("faster_coco_eval", lambda: disteval.DetectionEval((X, Y), ["a"])),
    ],
)
def test_missing_dependency(
    module: str, build: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DistEvalError, match=r"pip install 'disteval\[tasks\]'") as caught:
        build()
    assert "\n" not in str(caught.value)


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


def test_the_panel_has_no_more_rows_than_wandb_shows() -> None:
    x = np.zeros((10_005, 4), np.float32)
    evaluation, recorded = recording(disteval.RegressionEval, (x, x[:, 0]), panel=True)
    linear(1).fit(X, X[:, 0], verbose=0, callbacks=[evaluation])
    assert [row[1] for row in recorded["predictions"].data] == list(range(10_000))
    assert recorded["predictions"].columns == evaluation.pred_table.columns
    assert len(evaluation.pred_table.data) == 10_005


def test_metrics_by_class() -> None:
    assert by_class("recall", [0.5, 1.0], ["a", "b"]) == {"recall/a": 0.5, "recall/b": 1.0}
    assert len(by_class("recall", range(50), range(50))) == 50
    assert by_class("recall", range(51), range(51)) == {}


def test_evenly_spaced() -> None:
    assert evenly_spaced(3, 10).tolist() == [0, 1, 2]
    assert evenly_spaced(9, 3).tolist() == [0, 4, 8]
    assert len(evenly_spaced(100_000, 10_000)) == 10_000


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
    with pytest.raises(DistEvalError, match=r"in_logs='AP'. Expected: .*\('AP',\)"):
        disteval.RegressionEval((X, X), in_logs="AP")
