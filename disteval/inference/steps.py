"""What a Keras model runs on one batch: `predict_step`, or `test_step` for its metrics as well."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import tensorflow as tf

T = TypeVar("T")


class StepResult(NamedTuple):
    """What a step made of one batch.

    Attributes:
        outputs: The predictions, as `finish` returned them.
        states: The new value of each metric variable; empty without metrics.
        returned: What `test_step` returned, with tokens for the results of metrics.
        written: Names of other variables of the model that the step changed.
    """

    outputs: Any
    states: list[tf.Tensor]
    returned: Any
    written: list[str]


class Steps(abc.ABC):
    """Runs the steps of a model on the replicas of this process, and leaves no trace in its state.

    Args:
        model: The Keras model.
        strategy: The strategy of the replicas.
        devices: The device of each replica.

    Attributes:
        metrics: The model's metrics, without the containers that `compile` puts them into.
        metric_variables: The variables of all metrics, each once.
        parallel_iterations: How many batches of a loop may be at work at once.
    """

    parallel_iterations = 10

    def __init__(self, model: Any, strategy: Any, devices: Sequence[str | None]) -> None:
        self.model = model
        self.strategy = strategy
        self.devices = devices
        self.metrics: list[Any] = []
        self.metric_variables: list[Any] = []

    @property
    def is_collective(self) -> bool:
        """Whether `with_states` is a collective."""
        return False

    def read_metrics(self) -> bool:
        """Sets `metrics` and `metric_variables`, and returns whether the variables have changed."""
        known = self.metric_variables
        self.metrics = [leaf for metric in self.model.metrics for leaf in _leaves(metric)]
        variables = {id(v): v for metric in self.metrics for v in metric.variables}
        self.metric_variables = list(variables.values())
        return [*map(id, known)] != [*variables]

    def has_loss(self) -> bool:
        """Whether the model was compiled with a loss."""
        return bool(self.model.loss)

    @abc.abstractmethod
    def is_compiled(self) -> bool:
        """Whether the model was compiled."""

    def refusal(self) -> str | None:
        """Returns why the loss cannot be computed exactly on these replicas; `None` if it can."""
        return None

    @abc.abstractmethod
    def initialize_metrics(self) -> None:
        """Initializes the variables that metrics created in a step."""

    @abc.abstractmethod
    def assigned(self, graph: Any) -> list[str]:
        """Returns the variables that a graph writes, and that `run` does not keep from it."""

    @abc.abstractmethod
    def watched(self, graph: Any) -> list[tf.Variable]:
        """Returns the variables that a graph may write, and that have to be restored then."""

    def out_of_scope(self, work: Callable[[], T]) -> T:
        """Returns what `work` returns, which traces or runs steps, where Keras scales no loss."""
        return work()

    @abc.abstractmethod
    def replicate(self, evaluate: Callable[[Any, int], Any], inputs: Sequence[Any]) -> list[Any]:
        """Returns `evaluate(inputs[i], i)` for each local replica i, which runs on its device.

        With fewer inputs than replicas, the result of the first inputs counts.
        """

    @abc.abstractmethod
    def values(self, replica: int) -> Any:
        """Returns the values of the model's variables on a replica, for `run`."""

    @abc.abstractmethod
    def run(
        self,
        batch: Any,
        values: Any,
        states: Sequence[tf.Tensor] | None,
        finish: Callable[[Any, Any], Any],
        infer: Callable[[Any], Any] | None = None,
    ) -> StepResult:
        """Runs a step on one batch.

        Args:
            batch: The batch, such as `(x, y)`.
            values: What `values` returned for this replica.
            states: The value of each metric variable before the batch; with `None`, there is no
                `test_step`.
            finish: Called with the predictions and the batch.
            infer: Makes the predictions instead of `predict_step`.
        """

    @abc.abstractmethod
    def lent(self) -> contextlib.AbstractContextManager[None]:
        """Restores the states of the metrics after a block that runs steps."""

    def seeds_kept(self) -> contextlib.AbstractContextManager[None]:
        """Restores the model's random generators after a block of plain Python."""
        return contextlib.nullcontext()

    @abc.abstractmethod
    def with_states(self, states: Sequence[tf.Tensor], compute: Callable[[], Any]) -> Any:
        """Returns what `compute` returns while the metrics have other states."""

    @abc.abstractmethod
    def reset_states(self, metric: Any) -> list[Any]:
        """Returns the values to which a metric resets its variables; `None` if it does not."""

    def overrides(self, *names: str) -> list[str]:
        """Returns which of these methods are not Keras' own."""
        return [name for name in names if not is_keras_method(self.model, name)]

    def _forward(
        self, batch: Any, infer: Callable[[Any], Any] | None, *, validates: bool
    ) -> tuple[Any, Any]:
        """Returns the predictions for a batch, and what `test_step` returned."""
        predict = infer or self._step("predict_step")
        if not validates:
            return predict(batch), None
        predicted: list[Any] = []
        with self._tapped(predicted):
            returned = self._step("test_step")(batch)
        if infer is not None or self.overrides("test_step", "predict_step"):
            # What these predict need not be what the loss was computed from.
            return predict(batch), returned
        return predicted[0], returned

    def _step(self, name: str) -> Callable[[Any], Any]:
        """Returns a method of the model, with AutoGraph where Keras itself applies it."""
        step: Callable[[Any], Any] = getattr(self.model, name)
        return step

    @contextlib.contextmanager
    def _tapped(self, predicted: list[Any]) -> Iterator[None]:
        """Records the predictions from which a step computes the loss.

        Metrics return a token for their result, which nobody needs for a single batch.
        """
        compute_loss = self.model.compute_loss

        def tapped(*args: Any, **kwargs: Any) -> Any:
            predicted.append(kwargs["y_pred"] if "y_pred" in kwargs else args[2])
            return compute_loss(*args, **kwargs)

        with contextlib.ExitStack() as stack:
            stack.enter_context(attribute(self.model, "compute_loss", tapped))
            for metric in self.metrics:
                stack.enter_context(attribute(metric, "result", token_of(metric)))
            yield


def make_steps(model: Any, strategy: Any, devices: Sequence[str | None]) -> Steps:
    """Returns the steps of a model of Keras 2 or 3."""
    if is_keras_2(model):
        from disteval.inference.keras2 import LendingSteps

        return LendingSteps(model, strategy, devices)
    from disteval.inference.keras3 import StatelessSteps

    return StatelessSteps(model, strategy, devices)


def token_of(metric: Any) -> Callable[[], Any]:
    """Returns what stands for `metric.result` in a step: a tensor by which `metric_of` finds it."""

    def result() -> Any:
        token = tf.constant(float("nan"))
        token.disteval_metric = metric
        return token

    return result


def metric_of(value: Any) -> Any:
    """Returns the metric whose result a step returned as `value`; `None` if it is another value."""
    return getattr(value, "disteval_metric", None)


def is_keras_own(kind: type) -> bool:
    """Whether a class is part of Keras."""
    return kind.__module__.split(".")[0] in ("keras", "tf_keras")


def is_keras_method(model: Any, name: str) -> bool:
    """Whether a method of a model is the one that Keras defines."""
    if name in model.__dict__:
        return False
    # Not by `type`, since the model may be a weak reference.
    return is_keras_own(next(kind for kind in model.__class__.__mro__ if name in vars(kind)))


def is_keras_2(model: Any) -> bool:
    """Whether a model is one of tf-keras."""
    return any(kind.__module__.startswith("tf_keras.") for kind in model.__class__.__mro__)


@contextlib.contextmanager
def attribute(target: Any, name: str, value: Any) -> Iterator[None]:
    """Replaces an attribute of an object for the time of a block.

    Keras tracks what is set as an attribute, and forbids it after a model was built, so the
    attribute is written to the object's dictionary.
    """
    attributes = target.__dict__
    own = {name: attributes[name]} if name in attributes else {}
    attributes[name] = value
    try:
        yield
    finally:
        del attributes[name]
        attributes.update(own)


def _leaves(metric: Any) -> list[Any]:
    """Returns the metrics in a container of `compile`, or the metric itself."""
    inner = getattr(metric, "metrics", None)
    return inner if isinstance(inner, list) and hasattr(metric, "output_names") else [metric]
