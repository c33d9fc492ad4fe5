"""Every metric of Keras, and what the ranks agree on."""

from __future__ import annotations

import dataclasses
import inspect
import logging
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

import disteval
from disteval.errors import MetricError
from disteval.inference.metrics import MetricsReport, Validation, agreed, wide
from disteval.inference.steps import make_steps
from metric_models import assert_equal, keras_metrics

keras = tf.keras
COUNT = 23
random = np.random.default_rng(0)
LABELS = random.integers(0, 3, COUNT)
PROBABILITIES = random.dirichlet(np.ones(3), COUNT).astype(np.float32)
VALUES = random.normal(size=(COUNT, 3)).astype(np.float32)
# What the model returns, and the targets.
DATA = {
    "categorical": (PROBABILITIES, np.eye(3, dtype=np.float32)[LABELS]),
    "sparse": (PROBABILITIES, LABELS),
    "binary": (PROBABILITIES[:, :1], LABELS[:, np.newaxis] == 0),
    "signs": (VALUES[:, :1], np.sign(VALUES[:, 1:2])),
    "values": (np.abs(VALUES), np.abs(VALUES) + PROBABILITIES),
    "classes": (LABELS[::-1].astype(np.float32), LABELS),
}
# The arguments of each class, and its data if that is not "categorical".
ARGUMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "Accuracy": ({}, "classes"),
    "BinaryAccuracy": ({}, "binary"),
    "BinaryCrossentropy": ({}, "binary"),
    "BinaryIoU": ({"target_class_ids": [0, 1]}, "binary"),
    "ConcordanceCorrelation": ({"axis": 0}, "values"),
    "FBetaScore": ({"beta": 2.0}, "categorical"),
    "Hinge": ({}, "signs"),
    "IoU": ({"num_classes": 3, "target_class_ids": [1]}, "classes"),
    "MeanIoU": ({"num_classes": 3}, "classes"),
    "MeanRelativeError": ({"normalizer": [1.0, 2.0, 3.0]}, "values"),
    "OneHotIoU": ({"num_classes": 3, "target_class_ids": [1]}, "categorical"),
    "OneHotMeanIoU": ({"num_classes": 3}, "categorical"),
    "PearsonCorrelation": ({"axis": 0}, "values"),
    "PrecisionAtRecall": ({"recall": 0.5}, "binary"),
    "R2Score": ({}, "values"),
    "RecallAtPrecision": ({"precision": 0.5}, "binary"),
    "SensitivityAtSpecificity": ({"specificity": 0.5}, "binary"),
    "SparseCategoricalAccuracy": ({}, "sparse"),
    "SparseCategoricalCrossentropy": ({}, "sparse"),
    "SparseTopKCategoricalAccuracy": ({"k": 2}, "sparse"),
    "SpecificityAtSensitivity": ({"sensitivity": 0.5}, "binary"),
    "SquaredHinge": ({}, "signs"),
    "TopKCategoricalAccuracy": ({"k": 2}, "categorical"),
}
# These take values instead of targets and predictions, so that a step has to update them.
OF_VALUES: dict[str, dict[str, Any]] = {"Mean": {}, "Sum": {}, "MeanTensor": {"shape": (3,)}}
ABSTRACT = ("Metric",)


def exported(k: Any) -> list[str]:
    classes = inspect.getmembers(k.metrics, inspect.isclass)
    return [name for name, kind in classes if issubclass(kind, k.metrics.Metric)]


def squared_errors(y_true: Any, y_pred: Any) -> Any:
    return tf.reduce_mean(tf.square(y_true - y_pred), axis=-1)


CLASSES = [
    pytest.param(k, name, id=f"{name}-{version}")
    for k, version in ((keras, "Keras 3"), (tf_keras, "Keras 2"))
    for name in exported(k)
    if name not in ABSTRACT
]


@pytest.mark.parametrize(("k", "name"), CLASSES)
def test_every_metric_class(k: Any, name: str) -> None:
    arguments, kind = ARGUMENTS.get(name, ({}, "categorical"))
    x, y = DATA[kind]
    inputs = k.Input(x.shape[1:])
    metrics: list[Any] = []
    base = k.Model
    if name in OF_VALUES:
        metric = getattr(k.metrics, name)(name="metric", **OF_VALUES[name])

        class Updating(k.Model):
            def compute_metrics(
                self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
            ) -> Any:
                value = tf.reduce_mean(y_pred, axis=0) if name == "MeanTensor" else y_pred
                self.metric.update_state(value)
                return super().compute_metrics(x, y, y_pred, sample_weight)

        base = Updating
    elif name == "MeanMetricWrapper":
        metrics = [k.metrics.MeanMetricWrapper(squared_errors, name="metric")]
    else:
        metrics = [getattr(k.metrics, name)(name="metric", **arguments)]
    model = base(inputs, k.layers.Rescaling(1.0)(inputs))
    if name in OF_VALUES:
        model.metric = metric
    loss = "sparse_categorical_crossentropy" if kind == "sparse" else "mse"
    model.compile(loss=loss, metrics=metrics)
    got = disteval.evaluate(model, (x, y), batch_size=6)
    want = keras_metrics(model, (x, y), 6)
    assert "metric" in want
    assert_equal(got, want, tolerance=1e-6)  # differences of large sums grow in the result


REPORT = MetricsReport([("mean", "float32", ())], {}, None, False)


def test_ranks_that_agree() -> None:
    for validate in ("auto", True):
        assert agreed([REPORT, REPORT], validate) == (True, "")


def test_values_that_any_rank_leaves_out() -> None:
    other = dataclasses.replace(REPORT, left_out={"peak": "it is a maximum"})
    has_metrics, warning = agreed([REPORT, other], "auto")
    assert has_metrics
    assert "  peak: it is a maximum." in warning
    with pytest.raises(MetricError, match=r"peak: it is a maximum.*\n.*validate=\"auto\""):
        agreed([REPORT, other], True)


@pytest.mark.parametrize("is_usual", [False, True])
def test_no_metrics_if_any_rank_has_none(is_usual: bool) -> None:
    other = MetricsReport([], {}, "the model is not compiled", is_usual)
    has_metrics, warning = agreed([REPORT, other], "auto")
    assert not has_metrics
    assert bool(warning) is not is_usual
    with pytest.raises(MetricError, match=r"No metrics .*: the model is not compiled"):
        agreed([REPORT, other], True)


def test_ranks_with_different_metrics() -> None:
    other = dataclasses.replace(REPORT, forms=[("auc", "float32", ())])
    has_metrics, warning = agreed([REPORT, REPORT, other], "auto")
    assert not has_metrics
    assert "different metrics: ['mean'] on rank 0, and ['auc'] on rank 2" in warning
    with pytest.raises(MetricError, match="Call compile"):
        agreed([REPORT, REPORT, other], True)


def test_numbers_in_names_do_not_count() -> None:
    """A rank may have built another model before."""
    reports = []
    for _ in range(2):
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
        model.compile(loss="mse", metrics=[keras.metrics.AUC(), keras.metrics.F1Score()])
        steps = make_steps(model, tf.distribute.get_strategy(), [None])
        reports.append(Validation(steps).examine(lambda: DATA["categorical"]))
        assert {"loss", "auc", "f1_score"} <= {name for name, _, _ in reports[-1].forms}
    assert agreed(reports, True) == (True, "")


def test_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    left_out = dataclasses.replace(REPORT, left_out={"peak": "it is a maximum"})
    for warns, count in ((False, 0), (True, 1)):
        validation = Validation(None)  # type: ignore[arg-type]
        with caplog.at_level(logging.WARNING):
            for _ in range(2):
                validation.agree([left_out], "auto", warns=warns)
        assert len(caplog.messages) == count


def test_a_rank_that_wants_no_metrics() -> None:
    assert Validation(None).agree([REPORT, None], True, warns=True) is None  # type: ignore[arg-type]


def test_dtypes_of_sums() -> None:
    assert wide("float16") == wide(tf.float32) == tf.float64
    assert wide("int32") == wide("bool") == tf.int64
