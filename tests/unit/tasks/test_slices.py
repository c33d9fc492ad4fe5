"""Metrics of slices equal those of scikit-learn on the subset, and their names are legal."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from sklearn import metrics

import disteval
from disteval.errors import DataError, DistEvalError
from disteval.tasks.boxes import Boxes
from disteval.tasks.slices import TAKEN, Slices
from unit.tasks.helpers import random_boxes, recording

keras = tf.keras
RANDOM = np.random.default_rng(0)
X = RANDOM.random((200, 4)).astype(np.float32)
Y = RANDOM.integers(0, 5, 200)
LIGHT = np.array(["dark", "dusk", "bright", None], object)[
    RANDOM.choice(4, 200, p=[0.5, 0.3, 0.15, 0.05])
]
HOSTILE = ["<script>alert(1)</script>", "a/b", "x" * 300, "🌙", "../..", "eval/f1"]


def linear(outputs: int, activation: str | None = None) -> Any:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(outputs, activation)])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    return model


def evaluated(task: type, data: Any, model: Any, **options: Any) -> tuple[Any, Any]:
    """Returns an evaluator after one version, and the version."""
    versions = []

    class Recording(task):
        def log_pred_table(self, *args: Any, **given: Any) -> None:
            versions.append(self._publisher.version)
            super().log_pred_table(*args, **given)

    callback = Recording(data, asynchronous=False, **options)
    with callback:
        callback.evaluate(model, 0)
    return callback, versions[0]


def test_metrics_of_a_classification_equal_those_of_the_subset() -> None:
    model = linear(5, "softmax")
    callback, version = evaluated(
        disteval.ClassificationEval, (X, Y), model, slices={"light": LIGHT}, top_k=2
    )
    probabilities = model.predict(X, verbose=0)
    predicted = probabilities.argmax(axis=1)
    for value in ("dark", "dusk", "bright"):
        rows = value == LIGHT
        truth, found = Y[rows], predicted[rows]
        average = {"average": "macro", "zero_division": 0}
        expected = {
            "accuracy": metrics.accuracy_score(truth, found),
            "loss": metrics.log_loss(truth, probabilities[rows], labels=range(5)),
            "f1": metrics.f1_score(truth, found, **average),
            "precision": metrics.precision_score(truth, found, **average),
            "recall": metrics.recall_score(truth, found, **average),
            "top_2_accuracy": metrics.top_k_accuracy_score(
                truth, probabilities[rows], k=2, labels=range(5)
            ),
        }
        for name, known in expected.items():
            key = f"{name}/light={value}"
            assert version.metrics[key] == pytest.approx(known, abs=1e-6), key
        for name in ("accuracy", "loss", "top_2_accuracy"):
            low, high = (version.metrics[f"{name}/light={value}/{end}"] for end in ("low", "high"))
            assert low < expected[name] < high
        assert f"f1/light={value}/low" not in version.metrics, "no mean over samples"
    first = version.metadata["slices"][0]
    assert (first["slice"], first["value"], first["samples"]) == (
        "light",
        "dark",
        (LIGHT == "dark").sum(),
    )
    assert first["metrics"]["accuracy"][0] == version.metrics["accuracy/light=dark"]
    assert not [name for name in version.metadata["metrics"] if "light" in name]
    for table in (callback.data_table, callback.pred_table):
        assert table.get_column("light") == LIGHT.tolist()


def test_the_interval_is_a_percentile_of_resampled_means() -> None:
    _, version = evaluated(
        disteval.RegressionEval, (X, X[:, 0]), linear(1), slices={"light": LIGHT}
    )
    errors = np.abs(linear(1).predict(X, verbose=0)[:, 0] - X[:, 0])[LIGHT == "dusk"]
    drawn = RANDOM.integers(0, len(errors), (20_000, len(errors)))
    expected = np.percentile(errors[drawn].mean(axis=1), [2.5, 97.5])
    found = [version.metrics[f"mae/light=dusk/{end}"] for end in ("low", "high")]
    np.testing.assert_allclose(found, expected, atol=0.1 * (expected[1] - expected[0]))
    squared = (linear(1).predict(X, verbose=0)[:, 0] - X[:, 0]) ** 2
    rmse = np.sqrt(squared[LIGHT == "dusk"].mean())
    assert version.metrics["rmse/light=dusk"] == pytest.approx(rmse, abs=1e-6)


def test_ap_is_computed_anew_on_the_slice() -> None:
    labels, found = random_boxes(30, seed=1)
    task = disteval.DetectionEval([], ["a", "b", "c"], slices={"odd": np.arange(30) % 2 == 1})
    predictions = dict(zip(Boxes._fields, map(list, zip(*found, strict=True)), strict=True))
    leaves = {"boxes": "corners", "classes": "classes", "scores": "scores"}
    arrays = {}
    for name, field in leaves.items():
        arrays[name] = np.empty(30, object)
        arrays[name][:] = predictions[field]
    task._slices.begin()
    task._slices.end(30)
    parts = {p.value: p for p in task._slices.measure(task.assess, arrays, labels)}
    for value, first in (("False", 0), ("True", 1)):
        part = {name: array[first::2] for name, array in arrays.items()}
        expected = task.assess(part, labels[first::2]).metrics
        assert parts[value].samples == 15
        assert parts[value].metrics == {n: v for n, v in expected.items() if "/" not in n}
        assert parts[value].intervals == {}
    assert parts["True"].metrics["ap"] != parts["False"].metrics["ap"]


def test_a_function_is_called_once_for_each_sample() -> None:
    calls = []

    def parity(x: np.ndarray, y: int) -> Any:
        calls.append(float(x[0]))
        return bool(y % 2)

    options = {"slices": {"odd": parity}, "num_samples": 150}
    callback, version = evaluated(disteval.RegressionEval, (X, Y), linear(1), **options)
    assert calls == X[:150, 0].tolist()
    assert {each["value"] for each in version.metadata["slices"]} == {"True", "False"}
    assert callback.data_table.get_column("odd") == [str(bool(y % 2)) for y in Y[:150]]


def test_values_of_other_types() -> None:
    given: list[Any] = [np.int64(1), b"bytes", 2.5, float("nan"), None, np.str_("text"), True]
    slices = Slices({"kind": given}, None)
    slices.begin()
    slices.end(7)
    found = [slices.cells(i)["kind"] for i in range(7)]
    assert found == ["1", "bytes", "2.5", None, None, "text", "True"]


def test_the_largest_values_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    counts = [*([3] * 15), *([2] * 10)]  # samples of values 0 to 24
    values = np.repeat(np.arange(25), counts)
    options = {"slices": {"camera": values}, "num_samples": len(values)}
    callback, version = evaluated(disteval.RegressionEval, (X, Y), linear(1), **options)
    logged = [int(each["value"]) for each in version.metadata["slices"]]
    assert sorted(logged[:15]) == list(range(15))
    assert len(logged) == 20
    warnings = [r.getMessage() for r in caplog.records if "'camera'" in r.getMessage()]
    assert len(warnings) == 1
    assert "25 values, of which the 20 with the most samples are logged" in warnings[0]
    assert len(set(callback.data_table.get_column("camera"))) == 25


def test_hostile_names_become_legal_and_stay_different() -> None:
    values = [HOSTILE[i % len(HOSTILE)] for i in range(200)]
    slices = dict.fromkeys(HOSTILE, values)
    callback, version = evaluated(disteval.RegressionEval, (X, Y), linear(1), slices=slices)
    names = [name for name in version.metrics if name.startswith("mae/")]
    assert len(set(names)) == 3 * len(HOSTILE) ** 2, "the value, and the ends of its interval"
    assert all(re.fullmatch(r"mae/[\w.-]{1,71}=[\w.-]{1,71}(/low|/high)?", n, re.A) for n in names)
    assert callback.data_table.get_column("🌙") == values, "the table has the true names"
    assert version.metadata["slices"][0]["slice"] == HOSTILE[0]


def test_one_sample_has_no_interval() -> None:
    values = ["one", *["rest"] * 199]
    _, version = evaluated(disteval.RegressionEval, (X, Y), linear(1), slices={"n": values})
    assert "mae/n=one" in version.metrics
    assert "mae/n=one/low" not in version.metrics
    assert np.isnan(version.metrics["r2/n=one"])


@pytest.mark.parametrize(
    ("slices", "message"),
    [
        (["light"], r"`slices` is not a mapping\. Received: slices=\['light'\]"),
        ({"": LIGHT}, "A slice has no name. Received: slices with the name ''"),
        ({3: LIGHT}, "A slice has no name. Received: slices with the name 3"),
        ({"light": "dark"}, "The slice 'light' has no values. Received: str. Expected: a list"),
        ({"light": 5}, "The slice 'light' has no values. Received: int"),
        ({"loss": LIGHT}, "Received: slices with 'loss', which is a column of the evaluators"),
    ],
)
def test_invalid_slices(slices: Any, message: str) -> None:
    with pytest.raises(DistEvalError, match=message):
        disteval.RegressionEval((X, Y), slices=slices)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (LIGHT[:150], "Received: 150 values for 200 samples. Expected: one for each sample"),
        ([[1]] * 200, r"has a value that is no text\. Received: list \[1\]"),
        (lambda x, y: x.missing, "failed on sample 0: AttributeError: .*'missing'"),
        (lambda x, y: {"a": 1}, "has a value that is no text. Received: dict"),
    ],
)
def test_values_that_do_not_fit_are_found_before_training(values: Any, message: str) -> None:
    task, recorded = recording(disteval.RegressionEval, (X, Y), slices={"light": values})
    with pytest.raises(DataError, match=f"The .*'light' .*{message}"):
        linear(1).fit(X, Y, verbose=0, callbacks=[task])
    assert not recorded


def test_a_slice_with_the_name_of_an_own_column() -> None:
    class Own(disteval.RegressionEval):
        def truth_cells(self, x: Any, label: Any) -> dict[str, Any]:
            return {**super().truth_cells(x, label), "light": 1}

    with pytest.raises(DataError, match=r"A slice has the name of a column\..*'light'"):
        linear(1).fit(X, Y, verbose=0, callbacks=[Own((X, Y), slices={"light": LIGHT})])


def test_the_names_that_are_taken_are_those_of_all_evaluators() -> None:
    images = RANDOM.random((4, 8, 8, 3)).astype(np.float32)
    masks = RANDOM.integers(0, 2, (4, 8, 8))
    paint = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 1)])
    several = {"multi_label": True, "log_probabilities": True}
    found: set[str] = set()
    for task, data, model, options in (
        (disteval.ClassificationEval, (X, Y), linear(5, "softmax"), {"log_probabilities": True}),
        (disteval.ClassificationEval, (X, np.eye(5)[Y]), linear(5, "sigmoid"), several),
        (disteval.RegressionEval, (X, Y), linear(1), {}),
        (disteval.SegmentationEval, (images, masks), paint, {"class_names": ["a", "b"]}),
    ):
        callback, _ = evaluated(task, data, model, **options)
        found |= set(callback.pred_table.columns) | set(callback.data_table.columns)
    found = {name for name in found if "/" not in name}
    assert found - TAKEN <= {"x"}, "inputs that are no picture"
    assert {"previous", "suspect", "loss_change", "variability", "iou"} <= found & TAKEN
