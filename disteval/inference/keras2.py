"""The steps of a Keras 2 model: its metrics lend their variables, and get them back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from disteval.inference.autograph import with_autograph
from disteval.inference.steps import StepResult, Steps


class LendingSteps(Steps):
    """Steps that write the variables of the metrics, which `lent` restores.

    A replica is one of `strategy.run`, where each reads and writes its own component of a variable.
    """

    # A batch must not write the variables that another one still reads.
    parallel_iterations = 1

    @property
    def is_collective(self) -> bool:
        # There, the value of a variable outside of a replica is a sum over all workers.
        return isinstance(self.strategy, tf.distribute.MultiWorkerMirroredStrategy)

    def is_compiled(self) -> bool:
        return self.model.compiled_loss is not None

    def refusal(self) -> str | None:
        losses = tf.nest.flatten(self.model.loss)
        summed = any(getattr(loss, "reduction", None) == "sum" for loss in losses)
        if summed and int(self.strategy.num_replicas_in_sync) > 1:
            return (
                'Keras 2 multiplies a loss with reduction="sum" by the number of replicas. Divide '
                "in the loss function, or use Keras 3"
            )
        return None

    def initialize_metrics(self) -> None:
        if self.model.run_eagerly:  # the variables were not only created, but also written
            self.model.reset_metrics()

    def assigned(self, graph: Any) -> list[str]:
        return []

    def watched(self, graph: Any) -> list[tf.Variable]:
        metrics = {id(part) for v in self.metric_variables for part in self._components(v)}
        accessed = self.model.non_trainable_variables if graph is None else graph.variables
        parts = {id(part): part for v in accessed for part in self._components(v)}
        return [v for key, v in parts.items() if key not in metrics and not v.trainable]

    def replicate(self, evaluate: Callable[[Any, int], Any], inputs: Sequence[Any]) -> list[Any]:
        if int(self.strategy.num_replicas_in_sync) == 1:
            # Without `strategy.run`, which fails in the scope of another strategy: Keras 2 calls
            # callbacks in the scope of the model's strategy.
            with tf.device(self.devices[0]):
                return [evaluate(inputs[0], 0)]
        per_replica = self.strategy.experimental_distribute_values_from_function(
            # The id counts the replicas of all processes; those of one process are consecutive.
            lambda context: inputs[context.replica_id_in_sync_group % len(inputs)]
        )
        outputs = self.strategy.run(evaluate, args=(per_replica, 0))
        return list(self.strategy.experimental_local_results(outputs))

    def values(self, replica: int) -> None:
        return None

    def run(
        self,
        batch: Any,
        values: None,
        states: Sequence[tf.Tensor] | None,
        finish: Callable[[Any, Any], Any],
        infer: Callable[[Any], Any] | None = None,
    ) -> StepResult:
        for variable, state in zip(self.metric_variables, states or (), strict=False):
            variable.assign(state)
        outputs, returned = self._forward(batch, infer, validates=states is not None)
        outputs = finish(outputs, batch)
        updated = [tf.identity(v) for v in self.metric_variables if states is not None]
        return StepResult(outputs, updated, returned, [])

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        components = [part for v in self.metric_variables for part in self._components(v)]
        kept = [tf.identity(part) for part in components]
        try:
            yield
        finally:
            for part, value in zip(components, kept, strict=True):
                part.assign(value)

    def with_states(self, states: Sequence[tf.Tensor], compute: Callable[[], Any]) -> Any:
        with self.lent():
            for variable, state in zip(self.metric_variables, states, strict=True):
                # Outside of a replica, the value of a variable is the sum of its components.
                for i, part in enumerate(self._components(variable)):
                    part.assign(state if i == 0 else tf.zeros_like(state))
            return compute()

    def reset_states(self, metric: Any) -> list[Any]:
        with self.lent():
            metric.reset_state()
            return [tf.identity(self._components(variable)[0]) for variable in metric.variables]

    def _step(self, name: str) -> Callable[[Any], Any]:
        # Keras 3 does not convert the code of users, and Keras 2 does.
        return with_autograph(super()._step(name))

    def _components(self, variable: Any) -> tuple[Any, ...]:
        parts: tuple[Any, ...] = self.strategy.experimental_local_results(variable)
        return parts
