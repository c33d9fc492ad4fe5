"""`DetectionEval`: boxes around objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
import wandb

from disteval.arguments import check_choice, check_fraction, check_positive
from disteval.errors import DataError
from disteval.optional import require
from disteval.tables.wandb_private import image_size
from disteval.tasks import coco
from disteval.tasks.assessment import Assessment
from disteval.tasks.base import TaskEval
from disteval.tasks.boxes import FORMATS, Boxes, Unit, as_boxes, padded, unpack
from disteval.tasks.classes import by_class, checked_names
from disteval.tasks.options import TaskOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack  # a part of `typing` from Python 3.11 on

# What a model returns for each image.
LEAVES = ("boxes", "classes", "scores")


class DetectionEval(TaskEval):
    """Evaluates an object detector.

    The prediction table has the columns `image` (the image of the ground-truth table, by
    reference, with true and predicted boxes), `true_positives`, `false_positives` and
    `false_negatives`, counted at the first of `iou_thresholds`. The run gets COCO's metrics:
    `eval/ap` and `eval/ar` over all `iou_thresholds`, `eval/ap50`, `eval/ap75` and, with up to 50
    classes, `eval/ap/<class>`.

    Replicas drop the boxes that do not count. Each other box sends 24 bytes to the chief, and
    each sample 24.

    Args:
        validation_data: See `DistEvalCallback`; labels are a mapping of `boxes` of shape
            `(samples, boxes, 4)` and `classes` (or `labels`) of shape `(samples, boxes)`, or a
            tuple of these two; ragged, padded with class -1, or object arrays that hold an array
            for each sample. The model, or its `predict_step`,
            returns such a mapping with `scores` (or `confidence`), or a tuple `(boxes, scores,
            classes)`. If the mapping has `num_detections`, only so many boxes of each sample
            count.
        class_names: The name of each class.
        box_format: The format of labels and outputs: `"xyxy"` (left, top, right, bottom),
            `"yxyx"`, `"xywh"` (left, top, width, height) or `"cxcywh"` (center, width, height), in
            pixels; or `"rel_xyxy"` and so on, in fractions of the image's width and height.
        score_threshold: Boxes with a lower score do not count; from 0 to 1.
        max_boxes: How many boxes of a sample count, the highest scores first.
        iou_thresholds: The least intersection over union at which a predicted box matches a true
            box, each above 0 and at most 1; by default COCO's, from 0.5 to 0.95.
        options: Arguments of `TaskEval`, such as `rows` and `num_rows`, and of
            `DistEvalCallback`. The worst samples have the lowest F1 score; the stratum of a
            sample is its most frequent class.

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
        **options: Unpack[TaskOptions],
    ) -> None:
        require("faster_coco_eval")
        check_choice("box_format", box_format, FORMATS)
        super().__init__(validation_data, **options)
        check_fraction("score_threshold", score_threshold)
        check_positive("max_boxes", max_boxes)
        self.class_names = checked_names(class_names)
        self.box_format = box_format
        self.score_threshold = score_threshold
        self.max_boxes = max_boxes
        self.iou_thresholds = coco.checked_thresholds(iou_thresholds)
        self._unit = Unit(box_format)

    def postprocess(self, outputs: Any, batch: Any) -> Any:
        """Returns the boxes that count, as ragged tensors.

        Returns:
            `boxes` (float32) of shape `(batch, None, 4)`, `classes` (float32 or int32) and
            `scores` (float32) of shape `(batch, None)`, the highest score first.
        """
        self._labels_of(batch)
        outputs = self._output_of(outputs)
        boxes, classes, scores = map(padded, unpack(outputs, scored=True))
        boxes, classes, scores = as_boxes(boxes, classes, scores)
        counts = (classes >= 0) & (scores >= self.score_threshold)
        # A diverged model returns boxes that are not finite.
        counts &= tf.reduce_all(tf.math.is_finite(boxes), axis=-1)
        if isinstance(outputs, Mapping) and "num_detections" in outputs:
            limit = tf.cast(tf.reshape(outputs["num_detections"], [-1, 1]), tf.int32)
            counts &= tf.range(tf.shape(scores)[1]) < limit
        ranked = tf.where(counts, scores, -np.inf)
        best = tf.math.top_k(ranked, tf.minimum(self.max_boxes, tf.shape(scores)[1])).indices
        counts = tf.gather(counts, best, batch_dims=1)
        kept = {"boxes": boxes, "classes": classes, "scores": scores}
        return {
            name: tf.ragged.boolean_mask(tf.gather(values, best, batch_dims=1), counts)
            for name, values in kept.items()
        }

    def read_label(self, y: Any) -> Boxes:
        """Returns the true boxes."""
        boxes, classes, _ = unpack(y, scored=False)
        boxes, classes = np.asarray(padded(boxes)), np.asarray(padded(classes))
        label = self._boxes(boxes, classes, np.ones(classes.shape))
        invalid = ~(label.corners[:, 2:] >= label.corners[:, :2]).all(axis=1)
        if invalid.any():
            raise DataError(
                "A true box is invalid. Received: left, top, right, bottom of "
                f"{label.corners[invalid][0]}, read as {self.box_format!r}. Expected: numbers with "
                "left <= right and top <= bottom; is it another box_format?"
            )
        return label

    def add_ground_truth(self, logs: dict[str, float] | None = None) -> None:
        """Reads all labels, and fills the ground-truth table with the chosen samples."""
        super().add_ground_truth(logs)
        self._unit.check(self._labels, "labels")

    def strata(self, labels: Sequence[Boxes]) -> np.ndarray:
        """Returns the most frequent class of each sample; -1 for a sample without boxes."""
        classes = (label.classes for label in labels)
        return np.array([np.bincount(c).argmax() if len(c) else -1 for c in classes])

    def truth_cells(self, x: Any, label: Boxes) -> dict[str, Any]:
        """Returns the image with its boxes."""
        image = self._inputs.image(x)
        return {"image": self._with_boxes(image, image.size, {"ground_truth": label})}

    def prediction_columns(self, shown: np.ndarray) -> dict[str, list[Any]]:
        """Returns the images of the ground-truth table, with the predicted boxes added."""
        images = []
        for index, image in zip(shown, self.data_table.get_column("image"), strict=True):
            predicted = self._boxes(*(self.predictions[name][index] for name in LEAVES))
            boxes = {"ground_truth": self._labels[index], "predictions": predicted}
            images.append(self._with_boxes(image, image_size(image), boxes))
        return {"image": images}

    def assess(self, predictions: Any, labels: Sequence[Boxes]) -> Assessment:
        """Returns metrics and columns."""
        leaves = (predictions[name] for name in LEAVES)
        boxes = [self._boxes(*row) for row in zip(*leaves, strict=True)]
        self._unit.check(boxes, "predictions")
        result = coco.compute_metrics(
            labels,
            boxes,
            num_classes=len(self.class_names),
            iou_thresholds=self.iou_thresholds,
            max_boxes=self.max_boxes,
        )
        matched = result.true_positives
        predicted = np.array([len(of_image.classes) for of_image in boxes])
        true = np.array([len(of_image.classes) for of_image in labels])
        # An image without any box, true or predicted, has no loss.
        f1 = np.where(predicted + true > 0, 2 * matched / np.maximum(predicted + true, 1), 1)
        metrics = {**result.metrics, **by_class("ap", result.class_ap, self.class_names)}
        columns = {
            "true_positives": matched,
            "false_positives": predicted - matched,
            "false_negatives": true - matched,
        }
        return Assessment(metrics, 1 - f1, columns)

    def _boxes(self, boxes: Any, classes: Any, scores: Any) -> Boxes:
        num_classes = len(self.class_names)
        return Boxes.from_format(boxes, classes, scores, self.box_format, num_classes)

    def _with_boxes(self, image: Any, size: Sequence[int], boxes: dict[str, Boxes]) -> wandb.Image:
        unit = (1, 1) if self.box_format.startswith("rel_") else size
        layers = {key: each.to_wandb(unit, self.class_names, key) for key, each in boxes.items()}
        return wandb.Image(image, boxes=layers)
