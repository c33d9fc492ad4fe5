"""COCO's metrics of object detection, by faster-coco-eval: the numbers of pycocotools, in C++.

pycocotools works in Python for most of that time, which would slow down the training meanwhile,
and prints on the terminal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from disteval.tasks.boxes import Boxes

# From 0.5 to 0.95, as COCO averages over them.
IOU_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).round(2).tolist())


class CocoResult(NamedTuple):
    """What an evaluation gives. What is not defined is NaN.

    Attributes:
        metrics: `ap` and `ar` over all thresholds; `ap50` and `ap75` if these are among them.
        of_classes: AP of each class.
        true_positives: int of shape `(images,)`: matched boxes of each image, at the first
            threshold.
    """

    metrics: dict[str, float]
    of_classes: list[float]
    true_positives: np.ndarray


def evaluate(
    truth: Sequence[Boxes],
    found: Sequence[Boxes],
    *,
    classes: int,
    iou_thresholds: Sequence[float],
    max_boxes: int,
) -> CocoResult:
    """Compares the boxes of all images.

    Args:
        truth: The true boxes of each image.
        found: The predicted boxes of each image.
        classes: The number of classes.
        iou_thresholds: From which intersection over union a box counts as found.
        max_boxes: How many boxes of an image count, for each class.
    """
    from faster_coco_eval import COCO, COCOeval_faster

    evaluation = COCOeval_faster(
        COCO(_dataset(truth, classes)), COCO(_dataset(found, classes)), "bbox"
    )
    params = evaluation.params
    params.iouThrs = np.asarray(iou_thresholds)
    params.maxDets = [max_boxes]
    params.areaRng, params.areaRngLbl = params.areaRng[:1], params.areaRngLbl[:1]
    evaluation.evaluate()
    evaluation.accumulate()
    # Precision by threshold, recall, class, area and number of boxes; recall by the same.
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
    return CocoResult(metrics, [_mean(precision[:, :, i]) for i in range(classes)], matched)


def _dataset(images: Sequence[Boxes], classes: int) -> dict[str, Any]:
    """Returns boxes in the form of COCO's files. Numbers begin with 1: 0 would mean "none"."""
    annotations: list[dict[str, Any]] = []
    for image, boxes in enumerate(images, 1):
        sizes = np.maximum(boxes.corners[:, 2:] - boxes.corners[:, :2], 0)
        rows = np.concatenate([boxes.corners[:, :2], sizes], axis=1).tolist()
        for box, number, score in zip(
            rows, boxes.classes.tolist(), boxes.scores.tolist(), strict=True
        ):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": number + 1,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                    "score": score,
                }
            )
    return {
        "images": [{"id": i} for i in range(1, len(images) + 1)],
        "categories": [{"id": i} for i in range(1, classes + 1)],
        "annotations": annotations,
    }


def _matches(ious: np.ndarray, threshold: float) -> int:
    """Returns how many boxes of a class in an image are found, as COCO matches them.

    Args:
        ious: Shape `(predicted, true)`, the highest score first; empty if there is none of either.
        threshold: From which value on they match.
    """
    found = 0
    free = ious.copy()
    for row in free if free.ndim == 2 else ():
        best = row.argmax()
        if row[best] >= threshold:
            found += 1
            free[:, best] = -1
    return found


def _mean(values: np.ndarray) -> float:
    """Returns the mean of what is defined; COCO marks the rest with -1."""
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else float("nan")
