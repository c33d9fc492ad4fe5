"""Charts of a classification: W&B's, filled with the numbers of scikit-learn.

`wandb.plot.pr_curve` and `roc_curve` need pandas, round to three digits and do not support
multi-label data, so their charts are filled here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import wandb

# W&B charts show 10,000 rows, the cells of a confusion matrix of 100 classes.
MAX_CLASSES = 100


def confusion_matrix(
    truth: np.ndarray, predicted: np.ndarray, names: Sequence[Any]
) -> dict[str, Any]:
    """Returns the chart of a confusion matrix by name; nothing if there are too many classes.

    Args:
        truth: int of shape `(samples,)`.
        predicted: int of shape `(samples,)`.
        names: The name of each class.
    """
    if len(names) > MAX_CLASSES:
        return {}
    chart = wandb.plot.confusion_matrix(
        y_true=truth.tolist(),
        preds=predicted.tolist(),
        class_names=[str(name) for name in names],
        title="Confusion matrix",
    )
    return {"confusion_matrix": chart}


def pr_and_roc(truth: np.ndarray, scores: np.ndarray, names: Sequence[Any]) -> dict[str, Any]:
    """Returns the charts of the precision-recall and ROC curves, each class against all others.

    Returns nothing if there are too many classes, or if a score is not finite because the model
    has diverged. Classes that no sample or all samples belong to have no curve.

    Args:
        truth: int of shape `(samples,)`, or bool of shape `(samples, classes)`.
        scores: float of shape `(samples, classes)`.
        names: The name of each class.
    """
    from sklearn.metrics import precision_recall_curve, roc_curve

    if len(names) > MAX_CLASSES or not np.isfinite(scores).all():
        return {}
    limit = wandb.Table.MAX_ROWS // len(names)
    rows: dict[str, list[list[Any]]] = {"pr": [], "roc": []}
    for i, name in enumerate(names):
        positive = truth[:, i] if truth.ndim == 2 else truth == i
        if positive.all() or not positive.any():
            continue
        precision, recall, _ = precision_recall_curve(positive, scores[:, i])
        rows["pr"] += _points(name, recall[::-1], precision[::-1], limit)
        false_positives, true_positives, _ = roc_curve(positive, scores[:, i])
        rows["roc"] += _points(name, false_positives, true_positives, limit)
    if not rows["roc"]:
        return {}
    return {
        "pr_curve": _chart(rows["pr"], "Precision-recall", "recall", "precision"),
        "roc_curve": _chart(rows["roc"], "ROC", "false positive rate", "true positive rate"),
    }


def evenly_spaced(count: int, limit: int) -> np.ndarray:
    """Returns at most `limit` evenly spaced indices of `count` items, both ends included."""
    return np.unique(np.linspace(0, count - 1, min(count, limit)).astype(np.int64))


def _points(name: Any, x: np.ndarray, y: np.ndarray, limit: int) -> list[list[Any]]:
    chosen = evenly_spaced(len(x), limit)
    return [[str(name), *point] for point in np.stack([x, y], axis=1)[chosen].tolist()]


def _chart(rows: list[list[Any]], title: str, x: str, y: str) -> Any:
    return wandb.plot_table(
        "wandb/area-under-curve/v0",
        wandb.Table(columns=["class", x, y], data=rows),
        {"x": x, "y": y, "class": "class"},
        {"title": title, "x-axis-title": x.capitalize(), "y-axis-title": y.capitalize()},
    )
