"""The compiled metrics of a model: their states summed over batches, replicas and ranks.

The state of a metric is a sum over batches: what a batch adds to a state of zeros is added up, in
float64, wherever the batch was evaluated. `metric_checks` finds the metrics that are no such sums.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from disteval.errors import MetricError
from disteval.inference.metric_checks import NO_TARGETS, Findings, examine, has_targets
from disteval.inference.steps import Steps, attribute, metric_of, token_of

logger = logging.getLogger("disteval")

VALIDATE = ("auto", True, False)


@dataclasses.dataclass(frozen=True)
class MetricsReport:
    """What a rank reports of its model's metrics.

    Attributes:
        forms: For each variable of a metric, the metric's name, dtype and shape.
        left_out: Why some values cannot be exact, by name.
        refused: Why there are no metrics at all; `None` if there are.
        is_usual: Whether a training without such metrics is nothing to warn about.
    """

    forms: list[tuple[str, str, tuple[int, ...]]]
    left_out: dict[str, str]
    refused: str | None
    is_usual: bool


class CompiledMetrics:
    """The metrics of a model, for the evaluations of this process.

    Args:
        steps: The steps of the model.
        batch: A batch of the data.
    """

    def __init__(self, steps: Steps, batch: Any) -> None:
        self._steps = steps
        self._findings = findings = examine(steps, batch)
        self.variables = list(steps.metric_variables)
        self._sizes = [int(np.prod(v.shape)) for v in self.variables]
        self._packed: dict[tf.DType, list[int]] = {}
        for i, variable in enumerate(self.variables):
            self._packed.setdefault(wide(variable.dtype), []).append(i)
        if findings.refused is None and None in findings.returned.values():
            self._find_unheld(findings)

    @property
    def is_collective(self) -> bool:
        """Whether all ranks have to call `results`, with states whose sum is that of all."""
        return self._steps.is_collective

    def is_current(self) -> bool:
        """Whether the model was not compiled again."""
        return not self._steps.read_metrics()

    def report(self) -> MetricsReport:
        """Returns what the ranks compare."""
        forms = [
            (_without_numbers(metric.name), tf.as_dtype(v.dtype).name, tuple(v.shape))
            for metric in self._steps.metrics
            for v in metric.variables
        ]
        found = self._findings
        return MetricsReport(forms, found.reasons(), found.refused, found.is_usual)

    def check_batch(self, batch: Any) -> None:
        """Raises a `MetricError` unless the batch has what the loss needs."""
        if self._findings.needs_targets and not has_targets(batch):
            raise MetricError(f"No metrics of the validation data: {NO_TARGETS}.")

    def zeros(self) -> list[np.ndarray]:
        """Returns the sums before the first batch: of all floats, and of all integers."""
        return [
            np.zeros(sum(self._sizes[i] for i in numbers), dtype.as_numpy_dtype)
            for dtype, numbers in self._packed.items()
        ]

    def pack(self, states: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Returns the states of all variables as one vector of floats, and one of integers.

        A loop over small batches takes longer with a sum for each of many scalars.
        """
        return [
            tf.concat([tf.reshape(tf.cast(states[i], dtype), [-1]) for i in numbers], axis=0)
            for dtype, numbers in self._packed.items()
        ]

    def results(self, totals: Sequence[np.ndarray]) -> dict[str, Any]:
        """Returns what `model.evaluate(return_dict=True)` returns when the sums are `totals`."""
        states: list[Any] = [None] * len(self.variables)
        for numbers, total in zip(self._packed.values(), totals, strict=True):
            ends = np.cumsum([self._sizes[i] for i in numbers])
            for i, values in zip(numbers, np.split(total, ends[:-1]), strict=True):
                variable = self.variables[i]
                states[i] = tf.cast(tf.reshape(values, variable.shape), variable.dtype)
        return self._steps.with_states(states, self._compute)

    def _compute(self) -> dict[str, Any]:
        returned = self._findings.returned
        with contextlib.ExitStack() as stack:
            for metric, _ in self._findings.left_out:
                stack.enter_context(attribute(metric, "result", token_of(metric)))
            logs = dict(self._steps.model.get_metrics_result())
            for name, metric in returned.items():
                if name not in logs and metric is not None:
                    logs[name] = metric.result()
        return _as_logs({name: logs[name] for name in sorted(returned) if name in logs})

    def _find_unheld(self, findings: Findings) -> None:
        """Notes the values of `test_step` that no metric holds, so that they cannot be summed."""
        # Workers of Keras 2 examine their metrics one by one, and cannot compute results there.
        held = {} if self.is_collective else self.results(self.zeros())
        for name, metric in findings.returned.items():
            if metric is None and name not in held:
                findings.unheld[name] = (
                    "test_step returns it, and no metric in model.metrics holds it. Keep it in a "
                    "keras.metrics.Mean, and return its result()"
                )


class Validation:
    """Finds out which metrics a model has, when it was compiled since the last time.

    Args:
        steps: The steps of the model.

    Attributes:
        metrics: The metrics of this rank's model; `None` before `examine`.
    """

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self.metrics: CompiledMetrics | None = None
        self._warning = ""

    def examine(self, batch: Callable[[], Any]) -> MetricsReport:
        """Returns what the ranks have to know of the metrics, before `agree`.

        Args:
            batch: Returns a batch of the data.
        """
        if self.metrics is None or not self.metrics.is_current():
            self.metrics = CompiledMetrics(self._steps, batch())
        return self.metrics.report()

    def agree(
        self, reports: Sequence[MetricsReport | None], validate: str | bool, *, warns: bool
    ) -> CompiledMetrics | None:
        """Returns the metrics to sum, on every rank alike, and warns once of what is left out.

        Args:
            reports: Those of all ranks; `None` for a rank that wants no metrics.
            validate: See `DistEvalCallback`.
            warns: Whether this rank is the one that warns.

        Raises:
            MetricError: Metrics would be left out, and `validate` is true.
        """
        given = [report for report in reports if report is not None]
        if len(given) < len(reports):
            return None
        has_metrics, warning = agreed(given, validate)
        if warning and warning != self._warning:
            logger.log(logging.WARNING if warns else logging.DEBUG, warning)
            self._warning = warning
        return self.metrics if has_metrics else None


def agreed(reports: Sequence[MetricsReport], validate: str | bool) -> tuple[bool, str]:
    """Compares the metrics of all ranks, on every rank alike.

    Returns:
        Whether there are metrics, and what to warn of: which are left out, and why.

    Raises:
        MetricError: Metrics would be left out, and `validate` is true.
    """
    refused = next((report.refused for report in reports if report.refused), None)
    is_usual = all(report.is_usual for report in reports if report.refused)
    if refused is None and (difference := _difference(reports)) is not None:
        refused, is_usual = difference, False
    left_out = {name: reason for report in reports for name, reason in report.left_out.items()}
    if refused:
        faults = f"No metrics of the validation data: {refused}."
    elif left_out:
        listed = "\n".join(f"  {name}: {reason}." for name, reason in left_out.items())
        faults = f"Metrics that cannot be summed over batches and replicas:\n{listed}"
    else:
        return True, ""
    if validate is True:
        raise MetricError(
            f'{faults}\nExpected: exact metrics, since validate=True. validate="auto" leaves such '
            "metrics out."
        )
    return not refused, "" if refused and is_usual else faults


def _difference(reports: Sequence[MetricsReport]) -> str | None:
    """Returns which rank has other metrics than rank 0; `None` if none has."""
    for rank, report in enumerate(reports):
        if report.forms != reports[0].forms:
            first, own = ([*dict.fromkeys(n for n, _, _ in r.forms)] for r in (reports[0], report))
            return (
                f"the ranks were compiled with different metrics: {first} on rank 0, and {own} on "
                f"rank {rank}. Call compile() with the same metrics on every rank"
            )
    return None


def _without_numbers(name: str) -> str:
    """Returns a name without the number that tells it from those that Keras gave before.

    A rank that has built more models than others has higher numbers.
    """
    return re.sub(r"_\d+$", "", name)


def wide(dtype: Any) -> tf.DType:
    """Returns the dtype in which states are summed."""
    return tf.float64 if tf.as_dtype(dtype).is_floating else tf.int64


def _as_logs(results: dict[str, Any]) -> dict[str, Any]:
    """Converts results as Keras converts logs: scalars to floats, all in one dictionary."""
    logs: dict[str, Any] = {}
    for name, value in results.items():
        if isinstance(value, dict):
            logs |= _as_logs(value)
        elif metric_of(value) is None:
            array = np.asarray(value)
            logs[name] = float(array) if array.size == 1 else array
    return logs
