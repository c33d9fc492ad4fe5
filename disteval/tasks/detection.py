"""`DetectionEval`: boxes around objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import wandb

from disteval.errors import DataError, DistEvalError
from disteval.tasks import coco
from disteval.tasks.base import Assessment, TaskEval, by_class, listed, require
from disteval.tasks.boxes import FORMATS, Boxes, dense, parts
from disteval.tasks.probabilities import labels_of


class DetectionEval(TaskEval):
    """Evaluates an object detector.

    The prediction table has the columns `image` (the image of the ground-truth table, by
    reference, with true and predicted boxes), `true_positives`, `false_positives` and
    `false_negatives`, counted at the first of `iou_thresholds`. To the run go COCO's metrics:
    `eval/ap` and `eval/ar` over all `iou_thresholds`, `eval/ap50`, `eval/ap75`, and for each of
    up to 50 classes `eval/ap/<class>`.

    Boxes that do not count are left out on the replica. For each one that does, 22 bytes travel,
    and 24 for each sample.

    Args:
        validation_data: See `DistEvalCallback`; labels are a mapping of `boxes` of shape
            `(samples, boxes, 4)` and `classes` (or `labels`) of shape `(samples, boxes)`, or a
            tuple of these two; ragged, or padded with class -1. The model, or its `predict_step`,
            returns a mapping with `scores` (or `confidence`) in addition, or a tuple `(boxes,
            scores, classes)`; with `num_detections`, only so many boxes of each sample count.
        class_names: The name of each class.
        box_format: Of labels and outputs alike: `"xyxy"` (left, top, right, bottom), `"yxyx"`,
            `"xywh"` (left, top, width, height) or `"cxcywh"` (center, width, height), in pixels;
            or `"rel_xyxy"` and so on, as fractions of the image's width and height.
        score_threshold: Boxes with a lower score do not count.
        max_boxes: How many boxes of a sample count, those with the highest scores.
        iou_thresholds: From which intersection over union a box counts as found; by default those
            of COCO, from 0.5 to 0.95.
        options: Those of `TaskEval`, such as `rows` and `num_rows`, and of `DistEvalCallback`.
            The worst samples are those with the lowest F1 score, and the strata those of the most
            frequent class of a sample.

    Raises:
        DistEvalError: An argument is invalid, or faster-coco-eval is missing.

    Example:
        ```python
        evaluation = disteval.DetectionEval(val_dataset, class_names=["cat", "dog"])
        model.fit(train_dataset, callbacks=[evaluation])
        ```
    """

    def __init__(
        self,
        validation_data: Any,
        class_names: Sequence[str],
        box_format: str = "xyxy",
        score_threshold: float = 0.05,
        max_boxes: int = 100,
        iou_thresholds: Sequence[float] | None = None,
        **options: Any,
    ) -> None:
        require("faster_coco_eval")
        if box_format not in FORMATS:
            raise DistEvalError(
                f"Received: box_format={box_format!r}. Expected one of {', '.join(FORMATS)}."
            )
        super().__init__(validation_data, **options)
        self.class_names = listed(class_names)
        self.box_format = box_format
        self.score_threshold = score_threshold
        self.max_boxes = max_boxes
        self.iou_thresholds = list(iou_thresholds or coco.IOU_THRESHOLDS)
        self._found: list[Boxes] = []

    def postprocess(self, outputs: Any, batch: Any) -> Any:
        """Returns the boxes that count, ragged.

        Returns:
            `boxes` (float32) of shape `(batch, None, 4)`, `classes` (uint16) and `scores`
            (float32) of shape `(batch, None)`, the highest score first.
        """
        labels_of(batch)
        boxes, classes, scores = map(dense, parts(outputs, scored=True))
        boxes = tf.reshape(tf.cast(boxes, tf.float32), [tf.shape(scores)[0], -1, 4])
        classes, scores = tf.cast(classes, tf.int32), tf.cast(scores, tf.float32)
        counts = (classes >= 0) & (scores >= self.score_threshold)
        # Those of a model that has diverged are nowhere.
        counts &= tf.reduce_all(tf.math.is_finite(boxes), axis=-1)
        if isinstance(outputs, Mapping) and "num_detections" in outputs:
            limit = tf.cast(tf.reshape(outputs["num_detections"], [-1, 1]), tf.int32)
            counts &= tf.range(tf.shape(scores)[1]) < limit
        ranked = tf.where(counts, scores, -np.inf)
        best = tf.math.top_k(ranked, tf.minimum(self.max_boxes, tf.shape(scores)[1])).indices
        counts = tf.gather(counts, best, batch_dims=1)
        kept = {"boxes": boxes, "classes": tf.cast(classes, tf.uint16), "scores": scores}
        return {
            name: tf.ragged.boolean_mask(tf.gather(values, best, batch_dims=1), counts)
            for name, values in kept.items()
        }

    def read_label(self, y: Any) -> Boxes:
        """Returns the true boxes."""
        boxes, classes, _ = parts(y, scored=False)
        boxes, classes = dense(boxes), np.asarray(dense(classes))
        label = self._boxes(boxes, classes, np.ones(classes.shape))
        wrong = ~(label.corners[:, 2:] >= label.corners[:, :2]).all(axis=1)
        if wrong.any():
            raise DataError(
                f"Received: a true box with left, top, right, bottom {label.corners[wrong][0]}, "
                f"read as {self.box_format!r}. Expected: numbers with left <= right and top <= "
                "bottom; is it another box_format?"
            )
        return label

    def strata(self, labels: Sequence[Boxes]) -> np.ndarray:
        """Returns the most frequent class of each sample, and -1 for none."""
        classes = (label.classes for label in labels)
        return np.array([np.bincount(c).argmax() if len(c) else -1 for c in classes])

    def truth_cells(self, x: Any, label: Boxes) -> dict[str, Any]:
        """Returns the image with its boxes."""
        image = self._inputs.image(x)
        return {"image": self._with_boxes(image, image.size, {"ground_truth": label})}

    def prediction_columns(self, shown: np.ndarray) -> dict[str, list[Any]]:
        """Returns the images of the ground-truth table, with the predicted boxes in addition."""
        # W&B has no public way to the size of an image, but for opening it.
        images = []
        for index, image in zip(shown, self.data_table.get_column("image"), strict=True):
            boxes = {"ground_truth": self._labels[index], "predictions": self._found[index]}
            images.append(self._with_boxes(image, (image._width, image._height), boxes))
        return {"image": images}

    def assess(self, predictions: Any, labels: Sequence[Boxes]) -> Assessment:
        """Returns metrics and columns."""
        columns = (predictions[name] for name in ("boxes", "classes", "scores"))
        self._found = [self._boxes(*row) for row in zip(*columns, strict=True)]
        result = coco.evaluate(
            labels,
            self._found,
            classes=len(self.class_names),
            iou_thresholds=self.iou_thresholds,
            max_boxes=self.max_boxes,
        )
        right = result.true_positives
        found, true = (
            np.array([len(boxes.classes) for boxes in images]) for images in (self._found, labels)
        )
        # An image without a box, in which none was found, is not bad.
        f1 = np.where(found + true > 0, 2 * right / np.maximum(found + true, 1), 1)
        return Assessment(
            metrics={**result.metrics, **by_class("ap", result.of_classes, self.class_names)},
            plots={},
            losses=1 - f1,
            columns={
                "true_positives": right,
                "false_positives": found - right,
                "false_negatives": true - right,
            },
        )

    def _boxes(self, boxes: Any, classes: Any, scores: Any) -> Boxes:
        limit = len(self.class_names)
        return Boxes.of(boxes, classes, scores, box_format=self.box_format, limit=limit)

    def _with_boxes(self, image: Any, size: Sequence[int], boxes: dict[str, Boxes]) -> wandb.Image:
        unit = (1, 1) if self.box_format.startswith("rel_") else size
        layers = {key: of.shown(unit, self.class_names, key) for key, of in boxes.items()}
        return wandb.Image(image, boxes=layers)
