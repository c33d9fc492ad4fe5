"""`RegressionEval`: predicted numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import wandb

from disteval.errors import DataError
from disteval.optional import require
from disteval.tasks.assessment import Assessment
from disteval.tasks.base import TaskEval
from disteval.tasks.curves import evenly_spaced
from disteval.tasks.options import TaskOptions
from disteval.tasks.probabilities import numbers_of
from disteval.tasks.rows import deciles
from disteval.tasks.selection import only_leaf

if TYPE_CHECKING:
    from typing_extensions import Unpack  # a part of `typing` from Python 3.11 on


class RegressionEval(TaskEval):
    """Evaluates a regression.

    The prediction table has the columns `prediction`, `residual` (target - prediction),
    `absolute_error` and `squared_error` beside the sample's input and `target`. The run gets
    `eval/mae`, `eval/rmse`, `eval/r2`, a scatter plot of predictions over targets (at most 10,000
    samples) and a histogram of all residuals. With several targets, a cell of the first two
    columns is a list, and errors and metrics are means over the targets.

    Only the predictions are sent to the chief, 4 bytes for each target.

    Args:
        validation_data: See `DistEvalCallback`; targets of shape `(samples,)` or `(samples,
            targets)`, for a model whose outputs have that shape.
        options: Arguments of `TaskEval`, such as `rows` and `num_rows`, and of
            `DistEvalCallback`.

    Raises:
        DistEvalError: scikit-learn is missing.

    Example:
        ```python
        model.fit(x, y, callbacks=[disteval.RegressionEval((x_val, y_val))])
        ```
    """

    def __init__(self, validation_data: Any, **options: Unpack[TaskOptions]) -> None:
        require("sklearn")
        super().__init__(validation_data, **options)

    def postprocess(self, outputs: Any, batch: Any) -> Any:
        """Returns the predictions; float32, `(batch,)` or `(batch, targets)`."""
        predictions = self._single_output_of(outputs)
        targets = numbers_of(self._labels_of(batch))
        given, expected = (part.shape[1:].num_elements() for part in (predictions, targets))
        if None not in (given, expected) and given != expected:
            raise _shape_error(predictions, targets)
        return predictions[:, 0] if predictions.shape[1:] == (1,) else predictions

    def read_label(self, y: Any) -> np.ndarray:
        """Returns the targets; float64, `(targets,)`."""
        targets = np.asarray(only_leaf(y, "targets"), np.float64).reshape(-1)
        if not np.isfinite(targets).all():
            raise DataError(
                f"A target is not finite. Received: a target of {targets.tolist()}. "
                "Expected: finite numbers; leave out samples without a target."
            )
        return targets

    def strata(self, labels: Sequence[Any]) -> np.ndarray:
        """Returns the decile of the first target."""
        return deciles(np.stack(labels)[:, 0])

    def truth_cells(self, x: Any, label: np.ndarray) -> dict[str, Any]:
        """Returns the input and the target."""
        return {**self._inputs.cells(x), "target": label[0] if len(label) == 1 else label}

    def assess(self, predictions: np.ndarray, labels: Sequence[np.ndarray]) -> Assessment:
        """Returns metrics and columns."""
        from sklearn import metrics

        targets, predicted = _in_pairs(predictions, labels)
        residuals = targets - predicted
        absolute = np.abs(residuals).mean(axis=1)
        squared = np.square(residuals).mean(axis=1)
        # scikit-learn raises for NaN, but a diverged model must not end the training here.
        values = dict.fromkeys(("mae", "rmse", "r2"), np.nan)
        if np.isfinite(predicted).all():
            values["mae"] = metrics.mean_absolute_error(targets, predicted)
            values["rmse"] = metrics.root_mean_squared_error(targets, predicted)
            if len(targets) > 1:  # R2 is undefined for one sample
                values["r2"] = metrics.r2_score(targets, predicted)
        columns = {"prediction": predicted, "residual": residuals}
        if targets.shape[1] == 1:
            columns = {name: column[:, 0] for name, column in columns.items()}
        columns |= {"absolute_error": absolute, "squared_error": squared}
        return Assessment(values, squared, columns, {"mae": absolute})

    def plots(self, predictions: np.ndarray, labels: Sequence[np.ndarray]) -> dict[str, Any]:
        """Returns the scatter plot and the histogram; nothing if the model has diverged."""
        targets, predicted = _in_pairs(predictions, labels)
        if not np.isfinite(predicted).all():
            return {}
        return {
            "scatter": _scatter(targets.reshape(-1), predicted.reshape(-1)),
            "residuals": wandb.Histogram((targets - predicted).reshape(-1).tolist()),
        }


def _in_pairs(
    predictions: np.ndarray, labels: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns targets and predictions; float64, `(samples, targets)`."""
    targets = np.stack(labels)
    predicted = predictions.astype(np.float64).reshape(len(predictions), -1)
    if predicted.shape != targets.shape:
        raise _shape_error(predicted, targets)
    return targets, predicted


def _shape_error(predictions: Any, targets: Any) -> DataError:
    return DataError(
        "Predictions and targets differ in shape. Received: predictions of shape "
        f"{predictions.shape} for targets of shape {targets.shape}. Expected: the same shape."
    )


def _scatter(targets: np.ndarray, predicted: np.ndarray) -> Any:
    chosen = evenly_spaced(len(targets), wandb.Table.MAX_ROWS)
    data = np.stack([targets[chosen], predicted[chosen]], axis=1).tolist()
    table = wandb.Table(columns=["target", "prediction"], data=data)
    return wandb.plot.scatter(table, "target", "prediction", title="Predictions over targets")
