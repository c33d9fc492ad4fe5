"""Metrics of classifications equal those of scikit-learn, for all kinds of labels and outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from sklearn import metrics
from sklearn.datasets import load_digits

import disteval
from disteval.errors import DataError, DistEvalError
from disteval.tasks.assessment import Assessment

keras = tf.keras
X = (load_digits().data[:300] / 16).astype(np.float32)
Y = load_digits().target[:300]


def linear(outputs: int, activation: str | None = None, loss: Any = None) -> Any:
    keras.utils.set_random_seed(0)
    layer = keras.layers.Dense(outputs, activation, kernel_initializer="random_normal")
    model = keras.Sequential([keras.Input((64,)), layer])
    model.compile(keras.optimizers.SGD(0.0), loss)
    return model


def assess(evaluation: Any, model: Any, y: Any) -> tuple[Any, Assessment, dict[str, Any]]:
    """Returns the predictions of a model, what is computed of them, and the plots."""
    evaluation.set_model(model)
    found = disteval.predict(model, (X, y), postprocess=evaluation.postprocess)
    labels = [evaluation.read_label(label) for label in y]
    return found, evaluation.assess(found, labels), evaluation.plots(found, labels)


@pytest.mark.parametrize(
    "y",
    [Y, Y.astype(np.float32), Y[:, np.newaxis], keras.utils.to_categorical(Y, 10)],
    ids=["sparse", "float", "column", "one-hot"],
)
@pytest.mark.parametrize("logits", [True, False])
def test_single_label(y: np.ndarray, logits: bool) -> None:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=logits)
    model = linear(10, None if logits else "softmax", loss)
    outputs = model.predict(X, verbose=0)
    probabilities = tf.nn.softmax(outputs).numpy() if logits else outputs
    evaluation = disteval.ClassificationEval((X, y), log_probabilities=True)
    found, result, plots = assess(evaluation, model, y)
    predicted = probabilities.argmax(axis=1)
    assert found["classes"].dtype == np.uint16
    np.testing.assert_array_equal(found["classes"][:, 0], predicted)
    expected = {
        "accuracy": metrics.accuracy_score(Y, predicted),
        "top_3_accuracy": metrics.top_k_accuracy_score(Y, probabilities, k=3),
        "loss": metrics.log_loss(Y, probabilities),
    }
    kinds = {"precision": metrics.precision_score, "recall": metrics.recall_score}
    for name, score in {**kinds, "f1": metrics.f1_score}.items():
        expected[name] = score(Y, predicted, average="macro", zero_division=0)
        of_class = score(Y, predicted, average=None, labels=range(10), zero_division=0)
        expected |= {f"{name}/{i}": value for i, value in enumerate(of_class)}
    for name, value in expected.items():
        assert result.metrics[name] == pytest.approx(value, abs=1e-6), name
    assert set(plots) == {"confusion_matrix", "pr_curve", "roc_curve"}
    counts = [row[2] for row in plots["confusion_matrix"].table.data]
    assert counts == metrics.confusion_matrix(Y, predicted, labels=range(10)).reshape(-1).tolist()
    np.testing.assert_allclose(result.losses.mean(), expected["loss"], atol=1e-6)


@pytest.mark.parametrize("activation", ["sigmoid", None])
def test_binary_with_one_output(activation: str | None) -> None:
    y = (Y > 4).astype(np.int64)
    model = linear(1, activation, keras.losses.BinaryCrossentropy(from_logits=not activation))
    positive = model.predict(X, verbose=0)[:, 0]
    positive = positive if activation else tf.sigmoid(positive).numpy()
    evaluation = disteval.ClassificationEval((X, y), class_names=["low", "high"])
    found, result, plots = assess(evaluation, model, y)
    assert found["classes"].shape == (300, 2)
    assert not [name for name in result.metrics if name.startswith("top_")], "always 1"
    assert result.metrics["accuracy"] == metrics.accuracy_score(y, positive > 0.5)
    assert result.metrics["loss"] == pytest.approx(metrics.log_loss(y, positive), abs=1e-6)
    recall = metrics.recall_score(y, positive > 0.5)
    assert result.metrics["recall/high"] == pytest.approx(recall, abs=1e-6)
    rows = plots["roc_curve"].table.data
    found = np.array([row[1:] for row in rows if row[0] == "high"])
    area = metrics.auc(found[:, 0], found[:, 1])
    assert area == pytest.approx(metrics.roc_auc_score(y, positive), abs=1e-6)


def test_multi_label() -> None:
    y = np.stack([Y % 2, Y % 3 == 0, Y > 4, *(np.eye(10)[Y].T[:8])], axis=1).astype(np.int32)
    model = linear(11, "sigmoid", "binary_crossentropy")
    probabilities = model.predict(X, verbose=0)
    evaluation = disteval.ClassificationEval((X, y), multi_label=True, log_probabilities=True)
    found, result, plots = assess(evaluation, model, y)
    predicted = probabilities >= 0.5
    assert found["predicted"].shape == (300, 2), "a bit for each class"
    expected = {
        "accuracy": metrics.accuracy_score(y, predicted),
        "f1": metrics.f1_score(y, predicted, average="macro", zero_division=0),
        "precision": metrics.precision_score(y, predicted, average="macro", zero_division=0),
        "recall/2": metrics.recall_score(y[:, 2], predicted[:, 2], zero_division=0),
    }
    for name, value in expected.items():
        assert result.metrics[name] == pytest.approx(value, abs=1e-6), name
    assert "ece" not in result.metrics
    assert set(plots) == {"pr_curve", "roc_curve"}


@pytest.mark.parametrize("options", [{"top_k": 0}, {"from_logits": "maybe"}, {"rows": "last"}])
def test_invalid_arguments(options: dict[str, Any]) -> None:
    with pytest.raises(DistEvalError, match=f"Received: {next(iter(options))}="):
        disteval.ClassificationEval((X, Y), **options)


def test_wrong_number_of_names() -> None:
    evaluation = disteval.ClassificationEval((X, Y), class_names=["a", "b"])
    with pytest.raises(DataError, match="Received: 2 class_names for a model of 10 classes"):
        assess(evaluation, linear(10, "softmax"), Y)


@pytest.mark.parametrize(
    ("label", "told"),
    [(10, "10"), (-1, "-1"), (np.nan, "nan"), (0.5, "0.5")],
)
def test_labels_that_are_no_class(label: float, told: str) -> None:
    y = Y.astype(np.float32)
    y[5] = label
    with pytest.raises(DataError, match=f"Received: a label {told}.* Expected: 0 to 9"):
        assess(disteval.ClassificationEval((X, y)), linear(10, "softmax"), y)


@pytest.mark.parametrize(
    ("y", "multi_label", "message"),
    [
        (keras.utils.to_categorical(Y, 11), False, r"labels of shape \(None, 11\) for .* 10 cl"),
        (keras.utils.to_categorical(Y, 11), True, "Expected: multi-hot"),
        (Y, True, "Expected: multi-hot"),
        (Y.astype(str), False, "labels of type string"),
    ],
    ids=["one-hot", "multi-hot", "numbers", "strings"],
)
def test_labels_of_another_form(y: np.ndarray, multi_label: bool, message: str) -> None:
    evaluation = disteval.ClassificationEval((X, y), multi_label=multi_label, from_logits=True)
    with pytest.raises(DataError, match=f"Received: .*{message}"):
        assess(evaluation, linear(10), y)


@pytest.mark.parametrize("label", [np.nan, -1, 2])
def test_labels_that_are_not_multi_hot(label: float) -> None:
    y = keras.utils.to_categorical(Y, 10)
    y[5, 3] = label
    evaluation = disteval.ClassificationEval((X, y), multi_label=True, from_logits=True)
    with pytest.raises(DataError, match=r"A label is not multi-hot\. Received: \["):
        assess(evaluation, linear(10), y)


def test_outputs_of_another_form() -> None:
    layers = [keras.Input((64,)), keras.layers.Reshape((8, 8)), keras.layers.Dense(3, "softmax")]
    with pytest.raises(DataError, match=r"outputs of shape \(None, 8, 3\)"):
        assess(disteval.ClassificationEval((X, Y)), keras.Sequential(layers), Y)


def test_one_class_only() -> None:
    y = np.zeros(300, np.int64)
    _, result, plots = assess(
        disteval.ClassificationEval((X, y), top_k=10), linear(10, "softmax"), y
    )
    assert set(plots) == {"confusion_matrix"}
    assert result.metrics["recall/0"] == result.metrics["accuracy"]


def test_data_without_labels() -> None:
    evaluation = disteval.ClassificationEval(X)
    evaluation.set_model(linear(10, "softmax"))
    with pytest.raises(DataError, match="has no labels"):
        disteval.predict(evaluation.model, X, postprocess=evaluation.postprocess)
