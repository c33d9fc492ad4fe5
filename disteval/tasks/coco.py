"""COCO's metrics of object detection.

faster-coco-eval computes the same numbers as pycocotools. The latter spends its time in Python,
which slows down a training beside it, and prints on the terminal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from disteval.errors import DistEvalError
from disteval.tasks.boxes import Boxes

# COCO averages over these.
IOU_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).round(2).tolist())


def checked_thresholds(iou_thresholds: Any) -> list[float]:
    """Returns thresholds as a list; COCO's if they are `None`.

    Raises:
        DistEvalError: They are no list of numbers above 0, up to 1.
    """
    if iou_thresholds is None:
        return list(IOU_THRESHOLDS)
    try:
        values = np.array(iou_thresholds)
    except ValueError:  # lists of unequal lengths
        values = np.empty(0)
    is_list = values.ndim == 1 and values.size > 0 and values.dtype.kind in "fiu"
    if not is_list or not ((values > 0) & (values <= 1)).all():
        raise DistEvalError(
            "`iou_thresholds` are not thresholds. Received: "
            f"iou_thresholds={iou_thresholds!r}. Expected: a list of numbers above 0, up to 1, "
            "such as [0.5, 0.75]."
        )
    return values.astype(np.float64).tolist()


class CocoResult(NamedTuple):
    """COCO's metrics of all images; undefined metrics are NaN.

    Attributes:
        metrics: `ap` and `ar` over all thresholds; `ap50` and `ap75` if these are among them.
        class_ap: AP of each class.
        true_positives: int of shape `(images,)`: matched boxes of each image, at the first
            threshold.
    """

    metrics: dict[str, float]
    class_ap: list[float]
    true_positives: np.ndarray


def compute_metrics(
    truth: Sequence[Boxes],
    predicted: Sequence[Boxes],
    *,
    num_classes: int,
    iou_thresholds: Sequence[float],
    max_boxes: int,
) -> CocoResult:
    """Compares the predicted boxes of all images with the true boxes.

    Args:
        truth: The true boxes of each image.
        predicted: The predicted boxes of each image.
        num_classes: The number of classes.
        iou_thresholds: The least intersection over union at which two boxes match; metrics are
            means over these thresholds.
        max_boxes: How many boxes of an image count for each class, the highest scores first.
    """
    from faster_coco_eval import COCO, COCOeval_faster

    evaluation = COCOeval_faster(
        COCO(_dataset(truth, num_classes)), COCO(_dataset(predicted, num_classes)), "bbox"
    )
    params = evaluation.params
    params.iouThrs = np.asarray(iou_thresholds)
    params.maxDets = [max_boxes]
    params.areaRng, params.areaRngLbl = params.areaRng[:1], params.areaRngLbl[:1]
    evaluation.evaluate()
    evaluation.accumulate()
    # Axes of precision: threshold, recall, class, area, number of boxes. Recall has no recall axis.
    precision = np.asarray(evaluation.eval["precision"])[:, :, :, 0, 0]
    recall = np.asarray(evaluation.eval["recall"])[:, :, 0, 0]
    metrics = {"ap": _mean(precision), "ar": _mean(recall)}
    for name, threshold in (("ap50", 0.5), ("ap75", 0.75)):
        at = np.isclose(iou_thresholds, threshold)
        if at.any():
            metrics[name] = _mean(precision[at])
    matched = np.zeros(len(truth), np.int64)
    for (image, _), ious in evaluation.ious.items():
        matched[image - 1] += _matches(np.asarray(ious), iou_thresholds[0])
    return CocoResult(metrics, [_mean(precision[:, :, i]) for i in range(num_classes)], matched)


def _dataset(images: Sequence[Boxes], num_classes: int) -> dict[str, Any]:
    """Returns boxes in COCO's file format, in which ids begin at 1 since 0 means "none"."""
    annotations: list[dict[str, Any]] = []
    for image, (corners, classes, scores) in enumerate(images, 1):
        sizes = np.maximum(corners[:, 2:] - corners[:, :2], 0)
        annotations += [
            {
                "image_id": image,
                "category_id": int(number) + 1,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": 0,
                "score": score,
            }
            for *box, number, score in np.c_[corners[:, :2], sizes, classes, scores].tolist()
        ]
    return {
        "images": [{"id": i} for i in range(1, len(images) + 1)],
        "categories": [{"id": i} for i in range(1, num_classes + 1)],
        "annotations": [{"id": i, **each} for i, each in enumerate(annotations, 1)],
    }


def _matches(ious: np.ndarray, threshold: float) -> int:
    """Returns how many predicted boxes of one class in one image match, by COCO's rule.

    Args:
        ious: Shape `(predicted, true)`, the highest score first; empty without boxes on one side.
        threshold: The least intersection over union of a match.
    """
    matches = 0
    free = ious.copy()
    for row in free if free.ndim == 2 else ():
        best = row.argmax()
        if row[best] >= threshold:
            matches += 1
            free[:, best] = -1
    return matches


def _mean(values: np.ndarray) -> float:
    """Returns the mean of the defined values; COCO marks undefined ones with -1."""
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else float("nan")
