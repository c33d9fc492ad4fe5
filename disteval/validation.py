"""The metrics of the validation data in the logs, and a `fit` that computes them again."""

from __future__ import annotations

import logging
import time
from typing import Any

from disteval.tables.sets import UNNAMED, SetName

logger = logging.getLogger("disteval")


class ValidationLogs:
    """Puts the metrics of the last evaluation into logs, as `val_<metric>`.

    Args:
        validate: See `DistEvalCallback`.
        names: The name of the set.

    Attributes:
        metrics: The metrics of the last evaluation, without a prefix.
    """

    def __init__(self, validate: str | bool, names: SetName = UNNAMED) -> None:
        self.metrics: dict[str, Any] = {}
        self._validate = validate
        self._names = names
        self._step: int | None = None
        self._fit_began = 0.0
        self._fit_seconds: float | None = None
        self._warned = False

    @property
    def is_wanted(self) -> bool:
        """Whether the next evaluation should compute metrics."""
        return self._validate is True or self._fit_seconds is None

    def begin(self) -> None:
        """Records that a training begins, which may or may not validate by itself."""
        self._fit_seconds = None

    def begin_fit(self) -> None:
        """Records that `fit` begins to validate by itself."""
        self._fit_began = time.monotonic()

    def end_fit(self) -> None:
        """Records that `fit` has validated by itself."""
        self._fit_seconds = time.monotonic() - self._fit_began

    def record(self, metrics: dict[str, Any], step: int) -> dict[str, Any]:
        """Records the metrics of an evaluation after `step` batches, and returns them for logs."""
        self.metrics, self._step = metrics, step
        return self._named()

    def add_to(self, logs: dict[str, Any] | None, step: int) -> None:
        """Adds the metrics to logs after `step` batches, if no batch was trained since."""
        if logs is not None and step == self._step:
            for name, value in self._named().items():
                logs.setdefault(name, value)

    def warn(self, seconds: float) -> None:
        """Says once what it costs that `fit` validates as well.

        Args:
            seconds: How long the evaluation of the callback took.
        """
        if self._validate and self._fit_seconds is not None and not self._warned:
            self._warned = True
            logger.warning(
                "fit() validates the model by itself, which took %.3g s in this epoch; the sharded "
                "evaluation took %.3g s. Its val_* values are left in the logs. Without "
                "validation_data (or validation_split) in fit(), they come from the sharded "
                "evaluation, of all samples and equal on every rank.", self._fit_seconds, seconds
            )  # fmt: skip

    def _named(self) -> dict[str, Any]:
        return {self._names.log(name): value for name, value in self.metrics.items()}
