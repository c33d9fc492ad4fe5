"""Boxes of all formats, read and shown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from disteval.errors import DataError
from disteval.tasks.boxes import FORMATS, Boxes, padded, to_corners, unpack

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
    with pytest.raises(DataError, match=r"a box of class 3\. Expected: 0 to 2, since there are 3"):
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
