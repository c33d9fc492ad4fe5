"""Which metrics of a model are sums over batches, found out on one batch before training."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from disteval.data.batches import as_tensor, split_element
from disteval.inference.steps import StepResult, Steps, is_keras_own, metric_of

# Of the size of the summands. Sums in float32 are within 1e-6, and no maximum, mean or last value
# comes near this.
TOLERANCE = 1e-4
# Methods of a model that can do anything with its metrics, if they are the user's.
METHODS = ("test_step", "compute_loss", "compute_metrics")
# Metrics that create others with their first batch are complete after fewer traces.
MAX_TRACES = 4
NO_TARGETS = "the data has no targets, which the loss needs"
NOT_A_SUM = (
    "its state after a batch is not the state before plus what the batch adds, as for a maximum or "
    "a moving average. Keep sums in its variables, and divide in result()"
)


@dataclasses.dataclass
class Findings:
    """What a look at one batch tells of the metrics.

    Attributes:
        needs_targets: Whether the loss cannot be computed without targets.
        returned: The names in what `test_step` returns, with the metric whose result it is.
        left_out: Metrics that are not sums over batches, with the reason.
        unheld: Values of `test_step` that no metric holds, with the reason.
        refused: Why there are no metrics at all; `None` if there are.
        is_usual: Whether that is nothing to warn about.
    """

    needs_targets: bool = False
    returned: dict[str, Any] = dataclasses.field(default_factory=dict)
    left_out: list[tuple[Any, str]] = dataclasses.field(default_factory=list)
    unheld: dict[str, str] = dataclasses.field(default_factory=dict)
    refused: str | None = None
    is_usual: bool = False

    def reasons(self) -> dict[str, str]:
        """Returns why values are left out, by name."""
        return {metric.name: reason for metric, reason in self.left_out} | self.unheld


def examine(steps: Steps, batch: Any) -> Findings:
    """Returns what there is to know of a model's metrics before they are summed."""
    overridden = steps.overrides(*METHODS)
    if not steps.is_compiled():
        return Findings(refused="the model is not compiled", is_usual=True)
    if steps.has_loss() and not overridden and not has_targets(batch):
        return Findings(refused=NO_TARGETS, is_usual=True)
    if (reason := steps.refusal()) is not None:
        return Findings(refused=reason)
    try:
        return _findings(steps, batch, overridden)
    except Exception as error:
        # The steps are the user's, or have no loss to compute: any error is possible.
        text = str(error).strip()
        reason = f"test_step failed on the first batch, with {type(error).__name__}: {text}"
        return Findings(refused=reason, is_usual=not steps.has_loss() and not overridden)


def _findings(steps: Steps, batch: Any, overridden: Sequence[str]) -> Findings:
    """Returns what a step on one batch tells of the metrics."""
    probe = Probe(steps, batch)
    own = not overridden and all(is_keras_own(type(metric)) for metric in steps.metrics)
    added: list[np.ndarray] = []
    if not probe.written and (probe.watched or not own):
        added = probe.run(probe.zeros())
    if written := probe.written:
        return Findings(refused=(
            f"test_step writes {', '.join(written)}, which no metric in model.metrics owns, so "
            "that an evaluation would change the model. Keep it in a metric"
        ))  # fmt: skip
    if not isinstance(probe.result.returned, dict):
        kind = type(probe.result.returned).__name__
        return Findings(refused=f"test_step returned a {kind}. Return a dictionary")
    return Findings(
        needs_targets=steps.has_loss() and not overridden,
        returned={name: metric_of(value) for name, value in probe.result.returned.items()},
        left_out=[] if own else _not_summed(steps, probe, added),
    )


def has_targets(batch: Any) -> bool:
    """Whether a batch has targets."""
    return split_element(batch)[1] is not None


class Probe:
    """Runs `test_step` on one batch, from states of one's choice.

    Attributes:
        result: What the step returned when it was traced.
        written: Names of the variables that the step writes, but for those of the metrics.
        watched: Variables of which only a run tells whether the step writes them.
    """

    def __init__(self, steps: Steps, batch: Any) -> None:
        self.result: StepResult
        self._steps = steps
        self._batch = tf.nest.map_structure(as_tensor, batch)
        steps.read_metrics()
        for _ in range(MAX_TRACES):
            failure = None
            try:
                self._run, graph = steps.out_of_scope(self._prepared)
            except Exception as error:
                failure = error
            # Some metrics, and all of Keras 2, create their variables with their first batch. Where
            # they did, that batch may also have failed, since `steps` did not know them.
            steps.initialize_metrics()
            if not steps.read_metrics():
                break
        else:
            failure = RuntimeError("each call of test_step creates other metrics")
        if failure is not None:
            raise failure
        self.written = [*self.result.written, *steps.assigned(graph)]
        self.watched = steps.watched(graph)

    def zeros(self) -> list[tf.Tensor]:
        """Returns a state of zeros."""
        return [tf.zeros(v.shape, v.dtype) for v in self._steps.metric_variables]

    def run(self, states: Sequence[tf.Tensor]) -> list[np.ndarray]:
        """Returns the states after the batch, if they were `states` before it."""
        before = [tf.identity(variable) for variable in self.watched]
        with self._steps.lent():
            updated = self._steps.out_of_scope(lambda: self._run(states))
            after = [np.asarray(state) for state in updated]
        for variable, value in zip(self.watched, before, strict=True):
            if not np.array_equal(variable, value, equal_nan=value.dtype.is_floating):
                variable.assign(value)
                self.written.append(variable.name)
        return after

    def _prepared(self) -> tuple[Callable[[Sequence[tf.Tensor]], list[tf.Tensor]], Any]:
        """Returns a function from the states before the batch to those after it, and its graph."""

        def run_all(states: Sequence[tf.Tensor]) -> list[tf.Tensor]:
            return self._steps.replicate(evaluate, [states])[0]

        if self._steps.model.run_eagerly:
            evaluate = self._evaluate
            with self._steps.lent():
                run_all(self.zeros())
            return run_all, None
        evaluate = tf.function(self._evaluate, autograph=False)
        spec = [tf.TensorSpec(v.shape, v.dtype) for v in self._steps.metric_variables]
        function = tf.function(run_all, autograph=False).get_concrete_function(spec)
        return function, function.graph

    def _evaluate(self, states: Sequence[tf.Tensor], replica: int) -> list[tf.Tensor]:
        steps = self._steps
        values = steps.values(0)
        self.result = steps.run(self._batch, values, states, lambda outputs, batch: outputs)
        return self.result.states


def _not_summed(steps: Steps, probe: Probe, added: Sequence[np.ndarray]) -> list[tuple[Any, str]]:
    """Returns the metrics whose state is not a sum over batches, with the reason.

    Args:
        added: The states after a batch, from zeros.
    """
    # A state that the metric can have, and one that no batch leads to.
    made_up = [np.resize(1 + np.arange(7) % 5, state.shape) for state in added]
    sums = [_is_sum(probe, added, before) for before in (added, made_up)]
    places = {id(variable): i for i, variable in enumerate(steps.metric_variables)}
    found = []
    for metric in steps.metrics:
        numbers = [places[id(variable)] for variable in metric.variables]
        if any(added[i].dtype == bool for i in numbers):
            found.append((metric, "its state is boolean. Count in an integer instead"))
        elif not all(_is_zero(state) for state in steps.reset_states(metric)):
            found.append((metric, "its state is not all zeros after reset_state()"))
        elif not all(kept[i] for kept in sums for i in numbers):
            found.append((metric, NOT_A_SUM))
    return found


def _is_sum(probe: Probe, added: Sequence[np.ndarray], before: Sequence[np.ndarray]) -> list[bool]:
    """Returns for each state whether a batch adds the same to `before` as to zeros."""
    states = [
        tf.cast(tf.constant(value), state.dtype) for value, state in zip(before, added, strict=True)
    ]
    after = probe.run(states)
    return [
        bool(_is_near(np.asarray(start), delta, end))
        for start, delta, end in zip(states, added, after, strict=True)
    ]


def _is_near(start: np.ndarray, delta: np.ndarray, end: np.ndarray) -> bool:
    if start.dtype == bool:
        return False
    start, delta, end = (np.asarray(a, np.float64) for a in (start, delta, end))
    size = np.abs(start) + np.abs(delta)
    return bool(np.all((np.abs(end - (start + delta)) <= TOLERANCE * size) | np.isnan(delta)))


def _is_zero(state: Any) -> bool:
    return state is not None and not np.any(np.asarray(state))
