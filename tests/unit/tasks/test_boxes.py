"""Boxes of all formats, read and shown."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from disteval.errors import DataError
from disteval.tasks.boxes import FORMATS, Boxes, Unit, as_boxes, padded, to_corners, unpack

CORNERS = np.array([[3.0, 5.0, 13.0, 25.0], [0.0, 0.0, 50.0, 10.0]])


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


def test_padding_is_dropped() -> None:
    boxes = Boxes.from_format(CORNERS, [-1, 2], [0.5, 0.25], "xyxy", 3)
    np.testing.assert_array_equal(boxes.corners, CORNERS[1:])
    assert boxes.classes.tolist() == [2]
    assert boxes.scores.tolist() == [0.25]


def test_a_class_without_a_name() -> None:
    with pytest.raises(
        DataError,
        match=r"a box of class 3\. Expected: a whole number from 0 to 2, since there are 3",
    ):
        Boxes.from_format(CORNERS, [0, 3], [1, 1], "xyxy", 3)


@pytest.mark.parametrize(
    ("key", "captions"), [("ground_truth", ["b", "a"]), ("predictions", ["b 0.12", "a 0.50"])]
)
def test_boxes_as_wandb_shows_them(key: str, captions: list[str]) -> None:
    boxes = Boxes(CORNERS, np.array([1, 0]), np.array([0.123, 0.5]))
    shown = boxes.to_wandb((20, 50), ["a", "b"], key)._val
    position = {"minX": 0.15, "minY": 0.1, "maxX": 0.65, "maxY": 0.5}
    assert shown[0]["position"] == pytest.approx(position)
    assert shown[1]["position"]["maxX"] == 1, "clipped to the image"
    assert [box["class_id"] for box in shown] == [1, 0]
    assert [box["box_caption"] for box in shown] == captions
    assert shown[0]["scores"] == {"score": 0.123}


@pytest.mark.parametrize(
    ("nest", "scored"),
    [
        ({"boxes": 1, "classes": 2, "scores": 3}, True),
        ({"boxes": 1, "labels": 2, "confidence": 3}, True),
        ((1, 3, 2), True),
        ({"boxes": 1, "classes": 2}, False),
        ((1, 2), False),
    ],
)
def test_unpack(nest: Any, scored: bool) -> None:
    assert unpack(nest, scored) == (1, 2, 3 if scored else None)


@pytest.mark.parametrize(
    ("nest", "given"), [({"boxes": 1, "classes": 2}, r"\['boxes', 'classes'\]"), ((1, 2), "tuple")]
)
def test_boxes_without_scores(nest: Any, given: str) -> None:
    message = rf"Boxes are incomplete\. Received: {given}\. Expected: .*'scores'"
    with pytest.raises(DataError, match=message):
        unpack(nest, scored=True)


def test_padded() -> None:
    ragged = tf.ragged.constant([[1], [2, 3]])
    assert padded(ragged).numpy().tolist() == [[1, -1], [2, 3]]
    assert padded(CORNERS) is CORNERS


@pytest.mark.parametrize("number", [3, 65536, 1_000_000, 2**40, 0.99, 1.5, np.nan, -0.5])
def test_classes_are_not_rounded(number: float) -> None:
    with pytest.raises(
        DataError, match=r"unknown class\. Received: a box of class .*3 class_names"
    ):
        Boxes.from_format(CORNERS[:1], [number], [1.0], "xyxy", 3)


@pytest.mark.parametrize("shape", [(4, 3), (2, 2, 4), (12,), (3, 5)])
def test_boxes_are_rows_of_four(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=rf"boxes of shape {re.escape(str(shape))} in a sample"):
        Boxes.from_format(np.zeros(shape), [0, 0, 0], [1.0] * 3, "xyxy", 3)


def test_a_class_for_each_box() -> None:
    with pytest.raises(DataError, match="Received: 2 boxes and 3 classes in a sample"):
        Boxes.from_format(CORNERS, [0, 0, 0], [1.0] * 3, "xyxy", 3)
    for none in (np.zeros((0, 4)), np.zeros(0)):
        assert len(Boxes.from_format(none, [], [], "xyxy", 3).classes) == 0


@pytest.mark.parametrize(
    ("box_format", "scale", "other"),
    [
        ("xyxy", 1, None),
        ("xyxy", 0.01, "rel_xyxy"),
        ("cxcywh", 0.01, "rel_cxcywh"),
        ("rel_xyxy", 1, "xyxy"),
        ("rel_xyxy", 0.01, None),
        ("rel_xyxy", 0.03, None),
    ],
)
def test_boxes_in_another_unit(
    box_format: str, scale: float, other: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    unit, boxes = Unit(box_format), Boxes(CORNERS * scale, np.zeros(2), np.ones(2))
    for _ in range(2):
        unit.check([Boxes(CORNERS[:0], np.zeros(0), np.zeros(0)), boxes], "labels")
    assert len(caplog.messages) == (other is not None)
    assert all(f"Expected: box_format='{other}'" in message for message in caplog.messages)
    unit.check([], "predictions")
    unit.check([boxes], "predictions")
    assert len(caplog.messages) == 2 * (other is not None), "once for each kind of boxes"


@pytest.mark.parametrize(
    ("numbers", "found"), [([2**32], 2**31 - 1), ([0.99], np.float32(0.99)), ([-(2**40)], -1)]
)
def test_predicted_classes_are_not_rounded(numbers: list[float], found: float) -> None:
    _, classes, _ = as_boxes(np.zeros((1, 1, 4)), np.array([numbers]), np.ones((1, 1)))
    assert classes.numpy().tolist() == [[found]]


@pytest.mark.parametrize(
    ("boxes", "classes", "scores"), [((2, 3), (2, 3), (2, 3)), ((2, 4, 3), (2, 4), (2, 4)),
    ((2, 5, 4), (2, 4), (2, 4)), ((2, 5, 4), (2, 5), (2, 4)), ((2, 5, 4), (2, 5, 1), (2, 5, 1))]
)  # fmt: skip
def test_predicted_shapes(boxes: Any, classes: Any, scores: Any) -> None:
    with pytest.raises(DataError, match=r"do not fit\. Received: shapes .*samples, boxes, 4"):
        as_boxes(np.zeros(boxes), np.zeros(classes), np.zeros(scores))
