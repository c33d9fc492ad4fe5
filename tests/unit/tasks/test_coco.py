"""COCO's metrics equal those of pycocotools."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from disteval.errors import DistEvalError
from disteval.tasks import coco
from disteval.tasks.boxes import Boxes
from unit.tasks.helpers import by_pycocotools, random_boxes


def measure(truth: list[Boxes], predicted: list[Boxes]) -> coco.CocoResult:
    thresholds = coco.IOU_THRESHOLDS
    return coco.compute_metrics(
        truth, predicted, num_classes=3, iou_thresholds=thresholds, max_boxes=100
    )


@pytest.mark.parametrize("seed", range(3))
def test_metrics(seed: int) -> None:
    truth, predicted = random_boxes(40, seed)
    expected = by_pycocotools(truth, predicted)
    result = measure(truth, predicted)
    stats = dict(zip(["ap", "ap50", "ap75"], expected.stats, strict=False))
    stats["ar"] = expected.stats[8]
    assert 0 < stats["ap"] < stats["ap50"] < 1
    assert result.metrics == pytest.approx(stats, abs=1e-6)
    class_ap = [expected.eval["precision"][:, :, i, 0, 2].mean() for i in range(3)]
    assert result.class_ap == pytest.approx(class_ap, abs=1e-6)
    matched = np.zeros(40, int)
    for image in expected.evalImgs:
        if image is not None and image["aRng"] == [0, 1e10]:
            matched[image["image_id"] - 1] += np.count_nonzero(image["dtMatches"][0])
    np.testing.assert_array_equal(result.true_positives, matched)


def test_no_predicted_and_no_true_boxes() -> None:
    truth, predicted = random_boxes(5, 0)
    none = [Boxes(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0))] * 5
    assert measure(truth, none).metrics == {"ap": 0, "ar": 0, "ap50": 0, "ap75": 0}
    assert np.isnan(list(measure(none, predicted).metrics.values())).all()
    assert np.isnan(list(measure(none, none).metrics.values())).all()


@pytest.mark.parametrize("given", [[0.5, 0.75], (0.5, 1), np.array([0.5]), [np.float32(0.5)]])
def test_thresholds(given: Any) -> None:
    assert coco.checked_thresholds(given) == list(given)
    assert coco.checked_thresholds(None) == list(coco.IOU_THRESHOLDS)


@pytest.mark.parametrize(
    "given",
    [
        0.5,
        [],
        [2.0],
        [-1],
        [0.0],
        [0.5, np.nan],
        "0.5",
        ["0.5"],
        [[0.5]],
        [[0.5], []],
        [None],
        [True],
    ],
    ids=str,
)
def test_what_are_no_thresholds(given: Any) -> None:
    with pytest.raises(DistEvalError, match=r"`iou_thresholds` are not thresholds.*above 0, up to"):
        coco.checked_thresholds(given)
