"""Boxes in the formats that object detection uses, and as W&B shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from wandb.data_types import BoundingBoxes2D

from disteval.errors import DataError

# Each of them in pixels, or with `rel_` before it as fractions of the image's width and height.
LAYOUTS = ("xyxy", "yxyx", "xywh", "cxcywh")
FORMATS = (*LAYOUTS, *(f"rel_{layout}" for layout in LAYOUTS))


class Boxes(NamedTuple):
    """The boxes of one image.

    Attributes:
        corners: float of shape `(boxes, 4)`: left, top, right, bottom.
        classes: int of shape `(boxes,)`.
        scores: float of shape `(boxes,)`; 1 for the ground truth.
    """

    corners: np.ndarray
    classes: np.ndarray
    scores: np.ndarray

    @classmethod
    def of(cls, boxes: Any, classes: Any, scores: Any, *, box_format: str, limit: int) -> Boxes:
        """Returns boxes of any format, those of a negative class left out as padding.

        Raises:
            DataError: A class is not below `limit`.
        """
        corners = to_corners(np.asarray(boxes, np.float64).reshape(-1, 4), box_format)
        classes = np.asarray(classes).astype(np.int64).reshape(-1)
        scores = np.asarray(scores, np.float64).reshape(-1)
        keep = classes >= 0
        if keep.any() and classes.max() >= limit:
            raise DataError(
                f"Received: a box of class {classes.max()}. Expected: one of {limit} classes, "
                "since there are so many class_names."
            )
        return cls(corners[keep], classes[keep], scores[keep])

    def shown(self, size: Sequence[float], names: Sequence[str], key: str) -> BoundingBoxes2D:
        """Returns the boxes as W&B shows them over an image.

        Args:
            size: Width and height of the image in the unit of the boxes.
            names: The name of each class.
            key: `"predictions"` or `"ground_truth"`.
        """
        fractions = np.clip(self.corners / np.array([*size, *size]), 0, 1).tolist()
        scores, classes = self.scores.tolist(), self.classes.tolist()
        data = []
        for (left, top, right, bottom), score, number in zip(
            fractions, scores, classes, strict=True
        ):
            caption = names[number] if key == "ground_truth" else f"{names[number]} {score:.2f}"
            data.append(
                {
                    "position": {"minX": left, "minY": top, "maxX": right, "maxY": bottom},
                    "class_id": number,
                    "box_caption": caption,
                    "scores": {"score": score},
                }
            )
        return BoundingBoxes2D({"box_data": data, "class_labels": dict(enumerate(names))}, key)


def to_corners(boxes: np.ndarray, box_format: str) -> np.ndarray:
    """Returns boxes as left, top, right, bottom, in the unit in which they are.

    Args:
        boxes: float of shape `(boxes, 4)`.
        box_format: One of `FORMATS`.
    """
    layout = box_format.removeprefix("rel_")
    if layout == "xyxy":
        return boxes
    if layout == "yxyx":
        return boxes[:, [1, 0, 3, 2]]
    start, size = boxes[:, :2], boxes[:, 2:]
    if layout == "cxcywh":
        start = start - size / 2
    return np.concatenate([start, start + size], axis=1)


def parts(nest: Any, scored: bool) -> tuple[Any, Any, Any]:
    """Returns boxes, classes and scores of labels or outputs.

    Args:
        nest: A mapping with `boxes`, `classes` (or `labels`) and `scores` (or `confidence`), or a
            tuple `(boxes, scores, classes)`, without scores `(boxes, classes)`.
        scored: Whether there are scores.

    Raises:
        DataError: It is something else.
    """
    if isinstance(nest, Mapping):
        boxes = nest.get("boxes")
        classes = nest.get("classes", nest.get("labels"))
        scores = nest.get("scores", nest.get("confidence"))
    elif isinstance(nest, list | tuple) and len(nest) == 2 + scored:
        boxes, classes, scores = nest[0], nest[-1], nest[1]
    else:
        boxes = classes = scores = None
    if boxes is None or classes is None or (scored and scores is None):
        given = sorted(nest) if isinstance(nest, Mapping) else type(nest).__name__
        names = ["boxes", "classes", "scores"][: 2 + scored]
        raise DataError(f"Received: {given}. Expected: a mapping with {names}.")
    return boxes, classes, scores if scored else None


def dense(value: Any) -> Any:
    """Returns a tensor without ragged dimensions, -1 where there was nothing."""
    return value.to_tensor(default_value=-1) if isinstance(value, tf.RaggedTensor) else value
