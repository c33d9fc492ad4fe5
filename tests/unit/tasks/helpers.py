"""What the tests of several evaluators use: recorded metrics, random boxes, pycocotools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from disteval.tasks import coco
from disteval.tasks.base import TaskEval
from disteval.tasks.boxes import Boxes


def recording(task: type[TaskEval], *args: Any, **options: Any) -> tuple[Any, dict[str, Any]]:
    """Returns an evaluator, and a dict to which it adds its metrics and plots."""
    recorded: dict[str, Any] = {}

    class Recording(task):  # type: ignore[misc, valid-type]
        def add_metrics(self, metrics: Mapping[str, Any]) -> None:
            recorded.update(metrics)
            super().add_metrics(metrics)

    return Recording(*args, **options), recorded


def random_boxes(images: int, seed: int) -> tuple[list[Boxes], list[Boxes]]:
    """Returns true boxes, and predicted ones: shifted, doubled, missing, of a wrong class."""
    random = np.random.default_rng(seed)
    truth, predicted = [], []
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
        predicted.append(Boxes(shifted, classes, random.random(len(classes))))
    return truth, predicted


def by_pycocotools(truth: list[Boxes], predicted: list[Boxes]) -> COCOeval:
    """Returns pycocotools' evaluation of boxes of 3 classes."""
    sides = []
    for images in (truth, predicted):
        side = COCO()
        side.dataset = coco._dataset(images, 3)
        side.createIndex()
        sides.append(side)
    evaluation = COCOeval(*sides, "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation
