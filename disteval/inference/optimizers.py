"""What the optimizers of the ranks tell of models that differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

LEARNING_RATE = (
    "Most likely a callback such as ReduceLROnPlateau acted on some ranks only, on a `val_loss` or "
    "`loss` that each rank computes for itself. Give `fit` no validation data, and put this "
    "callback before the others: then they find the same `val_loss` on every rank."
)
ITERATIONS = (
    "Ranks have trained on different numbers of batches. Give each rank as many, for instance with "
    "steps_per_epoch, and stop all of them at the same batch."
)
KIND = "Compile the same optimizer on every rank."


@dataclasses.dataclass(frozen=True)
class OptimizerReport:
    """What a rank reports of its optimizer; `None` for what it does not have.

    Attributes:
        kind: The name of its class.
        learning_rate: The rate at this moment, also if it follows a schedule.
        iterations: How many batches it was applied to.
    """

    kind: str | None
    learning_rate: float | None
    iterations: int | None

    @classmethod
    def of(cls, model: Any) -> OptimizerReport:
        """Returns the report of a model's optimizer."""
        # A model that was not compiled has no such attribute.
        optimizer = getattr(model, "optimizer", None)
        if optimizer is None:
            return cls(None, None, None)
        iterations = getattr(optimizer, "iterations", None)
        rate = getattr(optimizer, "learning_rate", None)
        if callable(rate):  # the schedule of an optimizer of Keras 2
            rate = rate(iterations)
        return cls(
            type(optimizer).__name__,
            # Converted first, since a strategy's variable is no number.
            None if rate is None else float(tf.convert_to_tensor(rate)),
            None if iterations is None else int(tf.convert_to_tensor(iterations)),
        )


def differences(reports: Sequence[OptimizerReport]) -> str:
    """Returns in words how optimizers differ, and what to do; empty if they are alike.

    Args:
        reports: One for each rank, in rank order.
    """
    sentences = []
    for name, what, advice in (
        ("kind", "The optimizer", KIND),
        ("iterations", "The number of iterations of the optimizer", ITERATIONS),
        ("learning_rate", "The learning rate", LEARNING_RATE),
    ):
        values = [getattr(report, name) for report in reports]
        if any(value != values[0] for value in values):
            listed = ", ".join(f"{_shown(v)} on rank {rank}" for rank, v in enumerate(values[:8]))
            sentences.append(f"{what} differs: {listed}. {advice}")
    return "\n".join(sentences)


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
