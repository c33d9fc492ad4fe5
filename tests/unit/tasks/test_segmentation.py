"""Metrics of segmentations equal those of scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from sklearn import metrics

import disteval
from disteval.errors import DataError
from disteval.tasks.base import Assessment

keras = tf.keras
SHAPE = (20, 12, 10)
RANDOM = np.random.default_rng(0)
X = RANDOM.random((*SHAPE, 1)).astype(np.float32)
NAMES = ["a", "b", "c", "d"]


def assess(evaluation: Any, y: np.ndarray, channels: int) -> tuple[np.ndarray, Assessment]:
    keras.utils.set_random_seed(0)
    conv = keras.layers.Conv2D(channels, 3, padding="same", kernel_initializer="random_normal")
    model = keras.Sequential([keras.Input((*SHAPE[1:], 1)), conv])
    evaluation.set_model(model)
    found = disteval.predict(model, (X, y), postprocess=evaluation.postprocess)
    outputs = model.predict(X, verbose=0)
    expected = outputs[..., 0] >= 0 if channels == 1 else outputs.argmax(axis=-1)
    np.testing.assert_array_equal(found, expected)
    return found, evaluation.assess(found, [evaluation.read_label(label) for label in y])


@pytest.mark.parametrize("ignore_index", [None, 255, -1, 0])
@pytest.mark.parametrize("form", ["plain", "channel"])
def test_metrics(ignore_index: int | None, form: str) -> None:
    y = RANDOM.integers(0, 4, SHAPE).astype(np.int16)
    if ignore_index not in (None, 0):
        y[RANDOM.random(SHAPE) < 0.2] = ignore_index
    y[0] = 2 if ignore_index is None else ignore_index
    given = y[..., np.newaxis] if form == "channel" else y
    evaluation = disteval.SegmentationEval((X, given), NAMES, ignore_index)
    found, result = assess(evaluation, given, 4)
    assert found.dtype == np.uint8
    counted = y != ignore_index if ignore_index is not None else np.ones(SHAPE, bool)
    classes = [i for i in range(4) if i != ignore_index]
    truth, predicted = y[counted], found[counted]
    arguments = {"average": None, "labels": classes}
    iou = metrics.jaccard_score(truth, predicted, **arguments)
    dice = metrics.f1_score(truth, predicted, **arguments)
    expected = {"mean_iou": iou.mean(), "dice": dice.mean()}
    expected |= {f"iou/{NAMES[i]}": value for i, value in zip(classes, iou, strict=True)}
    if ignore_index != 0:
        expected["pixel_accuracy"] = metrics.accuracy_score(truth, predicted)
    for name, value in expected.items():
        assert result.metrics[name] == pytest.approx(value, abs=1e-6), name
    one = metrics.jaccard_score(y[1][counted[1]], found[1][counted[1]], **arguments)
    assert result.columns["iou"][1] == pytest.approx(one.mean(), abs=1e-6)


def test_one_output_for_two_classes_and_one_hot_labels() -> None:
    y = RANDOM.integers(0, 2, SHAPE)
    one_hot = keras.utils.to_categorical(y, 2)
    evaluation = disteval.SegmentationEval((X, one_hot), ["no", "yes"])
    found, result = assess(evaluation, one_hot, 1)
    accuracy = metrics.accuracy_score(y.reshape(-1), found.reshape(-1))
    assert result.metrics["pixel_accuracy"] == pytest.approx(accuracy, abs=1e-6)


def test_samples_where_nothing_counts() -> None:
    y = np.full(SHAPE, 9)
    _, result = assess(disteval.SegmentationEval((X, y), NAMES, ignore_index=9), y, 4)
    assert np.isnan(result.metrics["mean_iou"])
    assert np.isnan(result.columns["iou"]).all()
    assert (result.losses == 0).all()


def test_many_classes_need_two_bytes() -> None:
    y = RANDOM.integers(0, 300, SHAPE)
    evaluation = disteval.SegmentationEval((X, y), [str(i) for i in range(300)])
    found, result = assess(evaluation, y, 300)
    assert found.dtype == np.uint16
    small = np.full(SHAPE, 255, np.uint8)
    names = [str(i) for i in range(256)]
    label = disteval.SegmentationEval((X, small), names, ignore_index=255).read_label(small[0])
    assert (label == 256).all(), "ignored, though its number is no uint8"
    assert "iou/0" not in result.metrics


def test_wrong_labels() -> None:
    y = np.full(SHAPE, 4)
    with pytest.raises(DataError, match="Received: labels from 4 to 4 for 4 classes"):
        assess(disteval.SegmentationEval((X, y), NAMES), y, 4)
    with pytest.raises(DataError, match="Received: 3 class_names for a model of 4 classes"):
        assess(disteval.SegmentationEval((X, y), NAMES[:3]), y, 4)
    y = np.zeros((SHAPE[0], 5, 5), int)
    with pytest.raises(DataError, match=r"\(None, 12, 10, 4\) for labels of shape \(None, 5, 5\)"):
        assess(disteval.SegmentationEval((X, y), NAMES), y, 4)


@pytest.mark.parametrize("change", ["two", "none", "more"])
def test_masks_that_are_not_one_hot(change: str) -> None:
    one_hot = keras.utils.to_categorical(RANDOM.integers(0, 4, SHAPE), 5 if change == "more" else 4)
    if change != "more":
        one_hot[0, 0, 0] = change == "two"
    told = r"not one-hot\. Received: a label of shape"
    with pytest.raises(DataError, match=told):
        disteval.SegmentationEval((X, one_hot), NAMES).read_label(one_hot[0])


def test_classes_of_pixels_are_not_rounded() -> None:
    y = np.full(SHAPE[1:], 0.99)
    with pytest.raises(DataError, match=r"Received: labels from 0.99 to 0.99 for 4 classes"):
        disteval.SegmentationEval((X, y), NAMES).read_label(y)
