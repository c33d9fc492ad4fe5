"""Metrics of detections equal those of pycocotools; boxes of all formats."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import wandb
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import disteval
from disteval.errors import DataError, DistEvalError
from disteval.tasks import coco
from disteval.tasks.boxes import FORMATS, Boxes, to_corners

NAMES = ["a", "b", "c"]


@pytest.fixture(autouse=True)
def _disabled_run() -> Any:
    with wandb.init(mode="disabled"):
        yield


def random_boxes(images: int, seed: int) -> tuple[list[Boxes], list[Boxes]]:
    """True boxes, and what a detector may find: shifted, doubled, missing, of a wrong class."""
    random = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(images):
        count = random.integers(0, 6)
        start = random.uniform(0, 60, (count, 2))
        corners = np.concatenate([start, start + random.uniform(5, 40, (count, 2))], axis=1)
        truth.append(Boxes(corners, random.integers(0, 3, count), np.ones(count)))
        copies = random.integers(0, 3, count)
        shifted = np.repeat(corners, copies, axis=0)
        shifted = shifted + random.normal(0, 2, shifted.shape)
        classes = np.repeat(truth[-1].classes, copies)
        wrong = random.random(len(classes)) < 0.2
        classes = np.where(wrong, random.integers(0, 3, len(classes)), classes)
        found.append(Boxes(shifted, classes, random.random(len(classes))))
    return truth, found


def by_pycocotools(truth: list[Boxes], found: list[Boxes]) -> COCOeval:
    sides = []
    for images in (truth, found):
        side = COCO()
        side.dataset = coco._dataset(images, 3)
        side.createIndex()
        sides.append(side)
    evaluation = COCOeval(*sides, "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation


def measure(truth: list[Boxes], found: list[Boxes]) -> coco.CocoResult:
    thresholds = coco.IOU_THRESHOLDS
    return coco.evaluate(truth, found, classes=3, iou_thresholds=thresholds, max_boxes=100)


@pytest.mark.parametrize("seed", range(3))
def test_metrics(seed: int) -> None:
    truth, found = random_boxes(40, seed)
    expected = by_pycocotools(truth, found)
    result = measure(truth, found)
    stats = dict(zip(["ap", "ap50", "ap75"], expected.stats, strict=False))
    stats["ar"] = expected.stats[8]
    assert 0 < stats["ap"] < stats["ap50"] < 1
    assert result.metrics == pytest.approx(stats, abs=1e-6)
    of_classes = [expected.eval["precision"][:, :, i, 0, 2].mean() for i in range(3)]
    assert result.of_classes == pytest.approx(of_classes, abs=1e-6)
    matched = np.zeros(40, int)
    for image in expected.evalImgs:
        if image is not None and image["aRng"] == [0, 1e10]:
            matched[image["image_id"] - 1] += np.count_nonzero(image["dtMatches"][0])
    np.testing.assert_array_equal(result.true_positives, matched)


def test_nothing_found_and_nothing_there() -> None:
    truth, found = random_boxes(5, 0)
    none = [Boxes(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0))] * 5
    assert measure(truth, none).metrics == {"ap": 0, "ar": 0, "ap50": 0, "ap75": 0}
    assert np.isnan(list(measure(none, found).metrics.values())).all()
    assert np.isnan(list(measure(none, none).metrics.values())).all()


@pytest.mark.parametrize("box_format", FORMATS)
def test_formats(box_format: str) -> None:
    left, top, width, height = 3.0, 5.0, 10.0, 20.0
    forms = {
        "xyxy": [left, top, left + width, top + height],
        "yxyx": [top, left, top + height, left + width],
        "xywh": [left, top, width, height],
        "cxcywh": [left + width / 2, top + height / 2, width, height],
    }
    boxes = np.array([forms[box_format.removeprefix("rel_")]] * 2)
    np.testing.assert_allclose(to_corners(boxes, box_format), [forms["xyxy"]] * 2)


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
def test_what_travels(outputs: Any) -> None:
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
    evaluation = disteval.DetectionEval(dataset, NAMES, image_key="image")
    model.fit(dataset, verbose=0, callbacks=[evaluation])
    shifted = [b._replace(corners=b.corners + np.array([1, 0, 1, 0])) for b in truth]
    found = [b._replace(scores=b.classes * 0.1 + 0.5) for b in shifted]
    expected = by_pycocotools(truth, found).stats
    metrics = evaluation._newest.metadata["metrics"]
    assert metrics["ap"] == pytest.approx(expected[0], abs=1e-6)
    assert metrics["ar"] == pytest.approx(expected[8], abs=1e-6)
    assert 0.5 < metrics["ap"] < 1


def test_errors() -> None:
    with pytest.raises(DistEvalError, match=r"Received: box_format='xyhw'\. Expected one of xyxy"):
        disteval.DetectionEval((BOXES, {}), NAMES, box_format="xyhw")
    evaluation = disteval.DetectionEval((BOXES, {}), NAMES)
    with pytest.raises(DataError, match=r"Received: \['boxes'\]\. Expected: a mapping with"):
        evaluation.postprocess({"boxes": BOXES}, (None, None))
    turned = {"boxes": BOXES[0, :1, ::-1], "classes": np.array([0])}
    with pytest.raises(DataError, match=r"read as 'xyxy'\. Expected: .* another box_format"):
        evaluation.read_label(turned)
    with pytest.raises(DataError, match=r"Received: a box of class 3\. Expected: one of 3 classes"):
        evaluation.read_label({"boxes": BOXES[0, :1], "classes": np.array([3])})
