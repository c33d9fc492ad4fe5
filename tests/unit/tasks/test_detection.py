"""Metrics of detections equal those of pycocotools; boxes that count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import disteval
from disteval.errors import DataError, DistEvalError
from unit.tasks.helpers import by_pycocotools, random_boxes, recording

NAMES = ["a", "b", "c"]


BOXES = np.arange(2 * 4 * 4, dtype=np.float32).reshape(2, 4, 4)
SCORES = np.array([[0.2, 0.9, 0.01, 0.5], [0.3, 0.4, 0.8, 0.7]], np.float32)
CLASSES = np.array([[0, 1, 2, 2], [1, -1, 0, 2]])


@pytest.mark.parametrize(
    "outputs",
    [
        {"boxes": BOXES, "scores": SCORES, "classes": CLASSES},
        {"boxes": BOXES, "confidence": SCORES, "labels": CLASSES},
        (BOXES, SCORES, CLASSES),
    ],
    ids=["scores", "confidence", "tuple"],
)
def test_what_is_sent_to_the_chief(outputs: Any) -> None:
    evaluation = disteval.DetectionEval((BOXES, {}), NAMES, max_boxes=2, score_threshold=0.3)
    found = evaluation.postprocess(tf.nest.map_structure(tf.constant, outputs), (None, None))
    assert found["scores"].to_list() == [[np.float32(0.9), 0.5], [np.float32(0.8), np.float32(0.7)]]
    assert found["classes"].to_list() == [[1, 2], [0, 2]]
    assert found["boxes"][0, 0].numpy().tolist() == BOXES[0, 1].tolist()


def test_boxes_that_are_not_numbers_do_not_count() -> None:
    evaluation = disteval.DetectionEval((BOXES, {}), NAMES)
    boxes, scores = BOXES.copy(), SCORES.copy()
    boxes[0, 1, 2], scores[1, 2] = np.nan, np.nan
    outputs = {"boxes": boxes, "scores": scores, "classes": CLASSES}
    found = evaluation.postprocess(tf.nest.map_structure(tf.constant, outputs), (None, None))
    assert found["classes"].to_list() == [[2, 0], [2, 1]]


def test_ragged_outputs_and_numbers_of_detections() -> None:
    evaluation = disteval.DetectionEval((BOXES, {}), NAMES)
    lengths = [3, 1]
    ragged = {
        name: tf.RaggedTensor.from_tensor(values, lengths)
        for name, values in {"boxes": BOXES, "scores": SCORES, "classes": CLASSES}.items()
    }
    padded = {"boxes": BOXES, "scores": SCORES, "classes": CLASSES, "num_detections": lengths}
    padded = {name: tf.constant(value) for name, value in padded.items()}
    for outputs in (ragged, padded):
        found = evaluation.postprocess(outputs, (None, None))
        assert found["classes"].to_list() == [[1, 0], [1]]


@pytest.mark.parametrize(
    "y",
    [
        {"boxes": BOXES[0], "classes": np.array([2, -1, 0, -1])},
        {"boxes": BOXES[0, [0, 2]], "labels": np.array([2, 0])},
        (BOXES[0, [0, 2]], np.array([2.0, 0.0])),
    ],
    ids=["padded", "labels", "tuple"],
)
def test_labels(y: Any) -> None:
    boxes = disteval.DetectionEval((BOXES, {}), NAMES).read_label(y)
    assert boxes.classes.tolist() == [2, 0]
    np.testing.assert_array_equal(boxes.corners, BOXES[0, [0, 2]])


class Shifted(tf.keras.Model):
    """Finds the boxes that it is given, one pixel to the right; ragged or padded."""

    def call(self, x: dict[str, Any]) -> dict[str, Any]:
        boxes = x["boxes"] + tf.constant([1.0, 0.0, 1.0, 0.0])
        return {"boxes": boxes, "classes": x["classes"], "scores": x["scores"]}

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        return {"loss": tf.zeros(())}


@pytest.mark.parametrize("ragged", [True, False], ids=["ragged", "padded"])
def test_fit_with_ragged_and_padded_boxes(ragged: bool) -> None:
    truth, _ = random_boxes(12, 0)
    lengths = [len(b.classes) for b in truth]
    corners, numbers = (np.concatenate([b[i] for b in truth]) for i in range(2))
    boxes = tf.RaggedTensor.from_row_lengths(corners.astype(np.float32), lengths)
    classes = tf.RaggedTensor.from_row_lengths(numbers.astype(np.int32), lengths)
    scores = tf.cast(classes, tf.float32) * 0.1 + 0.5
    images = np.zeros((12, 100, 100), np.uint8)
    if not ragged:
        boxes, classes, scores = (part.to_tensor(-1) for part in (boxes, classes, scores))
    x = {"image": images, "boxes": boxes, "classes": classes, "scores": scores}
    y = {"boxes": boxes, "classes": classes}
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(5)
    model = Shifted()
    model.compile()
    evaluation, metrics = recording(disteval.DetectionEval, dataset, NAMES, image_key="image")
    model.fit(dataset, verbose=0, callbacks=[evaluation])
    shifted = [b._replace(corners=b.corners + np.array([1, 0, 1, 0])) for b in truth]
    found = [b._replace(scores=b.classes * 0.1 + 0.5) for b in shifted]
    expected = by_pycocotools(truth, found).stats
    assert metrics["ap"] == pytest.approx(expected[0], abs=1e-6)
    assert metrics["ar"] == pytest.approx(expected[8], abs=1e-6)
    assert 0.5 < metrics["ap"] < 1


def test_errors() -> None:
    with pytest.raises(
        DistEvalError, match=r"Received: box_format='xyhw'\. Expected one of 'xyxy'"
    ):
        disteval.DetectionEval((BOXES, {}), NAMES, box_format="xyhw")
    evaluation = disteval.DetectionEval((BOXES, {}), NAMES)
    with pytest.raises(DataError, match=r"Received: \['boxes'\]\. Expected: a mapping with"):
        evaluation.postprocess({"boxes": BOXES}, (None, None))
    turned = {"boxes": BOXES[0, :1, ::-1], "classes": np.array([0])}
    with pytest.raises(DataError, match=r"read as 'xyxy'\. Expected: .* another box_format"):
        evaluation.read_label(turned)
    with pytest.raises(
        DataError, match=r"Received: a box of class 3\. Expected: a whole number from 0 to 2"
    ):
        evaluation.read_label({"boxes": BOXES[0, :1], "classes": np.array([3])})
