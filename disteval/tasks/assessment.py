"""`Assessment`: what an evaluator computes of the predictions of one evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from disteval.errors import DistEvalError
from disteval.tables.history import Outcome


class Assessment(NamedTuple):
    """Metrics and columns of one evaluation.

    Attributes:
        metrics: Values over all samples, by name.
        losses: float of shape `(samples,)`; the higher, the worse the prediction.
        columns: Columns of the prediction table by name, with a value for each sample.
        means: The values for each sample of the metrics that are means over samples, by name; they
            get intervals in slices.
        outcome: What a classifier said of each sample, for the history; `None` for other tasks.
    """

    metrics: dict[str, float]
    losses: np.ndarray
    columns: dict[str, np.ndarray]
    means: Mapping[str, np.ndarray] = MappingProxyType({})
    outcome: Outcome | None = None

    def chosen(self, names: Sequence[str], task: str) -> dict[str, float]:
        """Returns some of the metrics.

        Args:
            names: Their names; upper and lower case do not matter.
            task: The name of the evaluator, for an error.

        Raises:
            DistEvalError: A name is not that of a metric.
        """
        # Papers and libraries write AP and F1, and this package ap and f1.
        values = {name.lower(): float(value) for name, value in self.metrics.items()}
        unknown = [name for name in names if name.lower() not in values]
        if unknown:
            raise DistEvalError(
                f"`in_logs` names what is not a metric of {task}. Received: {unknown[0]!r}. "
                f"Expected: some of {', '.join(map(repr, self.metrics))}."
            )
        return {name: values[name.lower()] for name in names}
