"""Bounding boxes in the formats of object detection and of W&B."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from wandb.data_types import BoundingBoxes2D

from disteval.errors import DataError

logger = logging.getLogger("disteval")

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
            DataError: The boxes are no rows of four numbers, there is not one class for each, or
                a class is not a class number.
        """
        boxes = np.asarray(boxes, np.float64)
        classes = np.asarray(classes, np.float64).reshape(-1)  # exact up to 2**53
        if boxes.size and (boxes.ndim != 2 or boxes.shape[1] != 4):
            raise DataError(
                f"Boxes are not rows of four numbers. Received: boxes of shape {boxes.shape} in a "
                "sample. Expected: (boxes, 4)."
            )
        if boxes.size // 4 != classes.size:
            raise DataError(
                f"Boxes and classes differ in number. Received: {boxes.size // 4} boxes and "
                f"{classes.size} classes in a sample. Expected: a class for each box."
            )
        unknown = ~((classes == np.floor(classes)) & (classes < num_classes))
        if unknown.any():
            raise DataError(
                "A box has an unknown class. Received: a box of class "
                f"{classes[unknown][0]:.10g}. Expected: a whole number from 0 to "
                f"{num_classes - 1}, since there are {num_classes} class_names."
            )
        keep = classes >= 0
        corners = to_corners(boxes.reshape(-1, 4), box_format)
        scores = np.asarray(scores, np.float64).reshape(-1)
        return cls(corners[keep], classes[keep].astype(np.int64), scores[keep])

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


class Unit:
    """Warns of boxes that are in fractions of the image under a format of pixels, or the reverse.

    Such boxes match nothing, so that all metrics are 0.

    Args:
        box_format: One of `FORMATS`.
    """

    def __init__(self, box_format: str) -> None:
        self._format = box_format
        self._warned: set[str] = set()

    def check(self, images: Sequence[Boxes], what: str) -> None:
        """Warns once of the boxes of all images, which are the `"labels"` or `"predictions"`."""
        largest = max((float(b.corners.max()) for b in images if b.corners.size), default=None)
        if largest is None or what in self._warned:
            return
        if self._format.startswith("rel_"):
            other, unit = self._format.removeprefix("rel_"), "fractions of the image's size"
            is_other = largest > 2  # a box may extend beyond the image
        else:
            other, unit = f"rel_{self._format}", "pixels"
            is_other = largest <= 1
        if is_other:
            self._warned.add(what)
            logger.warning(
                "The boxes of the %s seem to be in another unit. Received: coordinates up to %.4g "
                "with box_format=%r, which means %s. Expected: box_format=%r, if all boxes are "
                "so, or boxes that are converted: they never match boxes in another unit.",
                what, largest, self._format, unit, other
            )  # fmt: skip


def as_boxes(boxes: Any, classes: Any, scores: Any) -> tuple[Any, Any, Any]:
    """Returns a batch of predicted boxes as tensors, with classes that are not rounded.

    Args:
        boxes: Shape `(batch, boxes, 4)`.
        classes: Shape `(batch, boxes)`.
        scores: Shape `(batch, boxes)`.

    Returns:
        The boxes and scores as float32, and the classes as float32 or int32.

    Raises:
        DataError: The shapes do not fit.
    """
    boxes, classes, scores = map(tf.convert_to_tensor, (boxes, classes, scores))
    fits = boxes.shape.is_compatible_with([None, None, 4])
    fits = fits and boxes.shape[:2].is_compatible_with(classes.shape)
    if not fits or not classes.shape.is_compatible_with(scores.shape):
        raise DataError(
            "Predicted boxes, classes and scores do not fit. Received: shapes "
            f"{boxes.shape}, {classes.shape}, {scores.shape}. Expected: (samples, boxes, 4), "
            "(samples, boxes) and (samples, boxes)."
        )
    if classes.dtype.is_floating:
        classes = tf.cast(classes, tf.float32)
    else:
        # Clipped, since a cast would turn 2**32 into class 0.
        classes = tf.clip_by_value(tf.cast(classes, tf.int64), -1, tf.int32.max)
        classes = tf.cast(classes, tf.int32)
    # If the boxes are ragged, only their values tell the shape.
    boxes = tf.ensure_shape(tf.cast(boxes, tf.float32), [None, None, 4])
    return boxes, classes, tf.cast(scores, tf.float32)


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
