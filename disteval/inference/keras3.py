"""The steps of a Keras 3 model: stateless, so that nothing has to be restored."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import Any

import keras
import tensorflow as tf

from disteval.inference.steps import StepResult, Steps, T

# The name of the variable of a `keras.random.SeedGenerator`. A step may draw random numbers: the
# generator is left as it is, so that each batch gets the numbers that the first one would get.
SEED = "seed_generator_state"


class StatelessSteps(Steps):
    """Steps in a `keras.StatelessScope`, which applies no update to a variable.

    A replica is a device, and not a replica of `strategy.run`: there, Keras multiplies losses by
    the number of replicas, and divides only those that are means over the batch again.
    """

    def is_compiled(self) -> bool:
        return bool(self.model.compiled)

    def initialize_metrics(self) -> None:
        # The end of a scope initializes the variables that were created in one.
        with self.model.distribute_strategy.scope(), keras.StatelessScope():
            pass

    def assigned(self, graph: Any) -> list[str]:
        if graph is None:
            return []
        definition = graph.as_graph_def()
        functions = [function.node_def for function in definition.library.function]
        nodes = [node for nodes in (definition.node, *functions) for node in nodes]
        return [f"a tf.Variable ({node.name})" for node in nodes if node.op.startswith("Assign")]

    def watched(self, graph: Any) -> list[tf.Variable]:
        return []

    def out_of_scope(self, work: Callable[[], T]) -> T:
        if not tf.distribute.has_strategy():
            return work()
        # In the scope of a strategy, which a script may enter around `fit`, Keras would scale
        # losses as well. Another thread is in no scope.
        with futures.ThreadPoolExecutor(1) as pool:
            return pool.submit(work).result()

    def replicate(self, evaluate: Callable[[Any, int], Any], inputs: Sequence[Any]) -> list[Any]:
        results = []
        for i, (device, given) in enumerate(zip(self.devices, inputs, strict=False)):
            with tf.device(device):
                results.append(evaluate(given, i))
        return results

    def values(self, replica: int) -> list[tuple[Any, tf.Tensor]]:
        local = self.strategy.experimental_local_results
        metrics = set(map(id, self.metric_variables))
        return [
            (variable, tf.convert_to_tensor(local(variable.value)[replica]))
            for variable in self.model.variables
            if id(variable) not in metrics
        ]

    def run(
        self,
        batch: Any,
        values: list[tuple[Any, tf.Tensor]],
        states: Sequence[tf.Tensor] | None,
        finish: Callable[[Any, Any], Any],
        infer: Callable[[Any], Any] | None = None,
    ) -> StepResult:
        validates = states is not None
        mapping = [*values, *zip(self.metric_variables, states or (), strict=False)]
        with keras.StatelessScope(
            mapping, collect_losses=True, initialize_variables=False
        ) as scope:
            before = dict(scope.state_mapping)
            outputs, returned = self._forward(batch, infer, validates=validates)
            outputs = finish(outputs, batch)
            after = dict(scope.state_mapping)
            updated = [scope.get_current_value(v) for v in self.metric_variables if validates]
        written = [
            variable.path
            for variable, _ in values
            if after[id(variable)] is not before[id(variable)] and variable.name != SEED
        ]
        if after.keys() - before.keys():
            written.append("a variable that it does not track")
        return StepResult(outputs, updated, returned, written)

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        yield

    @contextlib.contextmanager
    def seeds_kept(self) -> Iterator[None]:
        seeds = [v.value for v in self.model.variables if v.name == SEED]
        kept = [tf.identity(seed) for seed in seeds]
        try:
            yield
        finally:
            for seed, value in zip(seeds, kept, strict=True):
                seed.assign(value)

    def with_states(self, states: Sequence[tf.Tensor], compute: Callable[[], Any]) -> Any:
        with keras.StatelessScope(zip(self.metric_variables, states, strict=True)):
            return compute()

    def reset_states(self, metric: Any) -> list[Any]:
        with keras.StatelessScope() as scope:
            metric.reset_state()
            return [scope.get_current_value(variable) for variable in metric.variables]
