"""Bounding boxes in the formats of object detection and of W&B."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from wandb.data_types import BoundingBoxes2D

from disteval.errors import DataError

# In pixels, or with the prefix `rel_` in fractions of the image's width and height.
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
    def from_format(
        cls, boxes: Any, classes: Any, scores: Any, box_format: str, num_classes: int
    ) -> Boxes:
        """Reads boxes of any format; drops padding, whose class is negative.

        Raises:
            DataError: A class is `num_classes` or more.
        """
        corners = to_corners(np.asarray(boxes, np.float64).reshape(-1, 4), box_format)
        classes = np.asarray(classes).astype(np.int64).reshape(-1)
        scores = np.asarray(scores, np.float64).reshape(-1)
        keep = classes >= 0
        if keep.any() and classes.max() >= num_classes:
            raise DataError(
                f"A box has an unknown class. Received: a box of class {classes.max()}. "
                f"Expected: 0 to {num_classes - 1}, since there are {num_classes} class_names."
            )
        return cls(corners[keep], classes[keep], scores[keep])

    def to_wandb(self, size: Sequence[float], names: Sequence[str], key: str) -> BoundingBoxes2D:
        """Returns the boxes for W&B to draw on an image.

        Args:
            size: Width and height of the image in the unit of the boxes.
            names: The name of each class.
            key: `"predictions"` or `"ground_truth"`.
        """
        fractions = np.clip(self.corners / np.array([*size, *size]), 0, 1)
        edges = ("minX", "minY", "maxX", "maxY")
        caption = "{}" if key == "ground_truth" else "{} {:.2f}"
        data = [
            {
                "position": dict(zip(edges, corners, strict=True)),
                "class_id": int(number),
                "box_caption": caption.format(names[int(number)], score),
                "scores": {"score": score},
            }
            for *corners, number, score in np.c_[fractions, self.classes, self.scores].tolist()
        ]
        return BoundingBoxes2D({"box_data": data, "class_labels": dict(enumerate(names))}, key)


def to_corners(boxes: np.ndarray, box_format: str) -> np.ndarray:
    """Converts boxes to left, top, right, bottom, in the same unit.

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


def unpack(nest: Any, scored: bool) -> tuple[Any, Any, Any]:
    """Returns the boxes, classes and scores of labels or outputs.

    Args:
        nest: A mapping with `boxes`, `classes` (or `labels`) and `scores` (or `confidence`), or a
            tuple `(boxes, scores, classes)`; without scores `(boxes, classes)`.
        scored: Whether scores are required; if not, `None` is returned for them.

    Raises:
        DataError: Boxes, classes or required scores are missing.
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
        raise DataError(
            f"Boxes are incomplete. Received: {given}. Expected: a mapping with {names}."
        )
    return boxes, classes, scores if scored else None


def padded(value: Any) -> Any:
    """Returns a ragged tensor padded with -1, and any other value as it is."""
    return value.to_tensor(default_value=-1) if isinstance(value, tf.RaggedTensor) else value
