"""Batches evaluated in Python: models with `run_eagerly`, and functions with `eager=True`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from disteval.errors import DistEvalError
from disteval.inference.forms import shapes_differ, sliced
from disteval.inference.functions import BatchFunctions
from disteval.inference.seeds import current_numbers, numbered
from disteval.inference.steps import StepResult, Steps


class EagerStep:
    """Runs the functions of a user as plain Python; the model's own step stays compiled.

    They run outside of the scope in which the variables of Keras 3 are values of a trace: a
    function that is traced in there, such as that of a `generate`, would keep these values.

    Args:
        steps: The steps of the model.
        functions: The functions.
    """

    def __init__(self, steps: Steps, functions: BatchFunctions) -> None:
        self._steps = steps
        self._functions = functions
        self._written: list[str] = []
        self._traced_for: list[Any] = []
        self._compiled: Any = None

    def run(self, batch: Any, states: Sequence[tf.Tensor] | None) -> StepResult:
        """Evaluates one batch; see `Steps.run`."""
        infer = self._functions.infer_for(self._steps.model)
        outputs, updated = None, list[tf.Tensor]()
        if infer is None or states is not None:
            outputs, updated = self._model_step(batch, states)
        with self._steps.seeds_kept():
            if infer is not None:
                outputs = infer(batch)
            finished = self._functions.finish(outputs, batch)
        return StepResult(as_tensors(finished), updated, None, self._written)

    def _model_step(self, batch: Any, states: Any) -> tuple[Any, list[tf.Tensor]]:
        """Returns the outputs of the model's own step, and the new states of the metrics."""
        numbers = current_numbers()
        if self._steps.model.run_eagerly:
            return self._evaluate(batch, numbers, states)
        # The variables of the metrics, which a trace knows, are new when the model was compiled.
        variables = self._steps.metric_variables
        if [*map(id, variables)] != [*map(id, self._traced_for)] or self._compiled is None:
            self._traced_for = list(variables)
            self._compiled = tf.function(self._evaluate, autograph=False, reduce_retracing=True)
        outputs, updated = self._compiled(batch, numbers, states)
        return outputs, updated

    def _evaluate(self, batch: Any, numbers: Any, states: Any) -> tuple[Any, list[tf.Tensor]]:
        with numbered(numbers):  # those of the trace, which differ from batch to batch
            values = self._steps.values(0)
            result = self._steps.run(batch, values, states, lambda outputs, _: outputs)
        self._written = result.written
        return result.outputs, result.states


def check_replicas(functions: BatchFunctions, num_replicas: int) -> None:
    """Raises a `DistEvalError` if Python would have to run on several replicas of a process."""
    if functions.eager and num_replicas > 1:
        raise DistEvalError(
            "`eager=True` runs plain Python, which cannot run on several replicas of one process. "
            f"Received: eager=True with {num_replicas} replicas. Expected: Horovod, which has a "
            f"process for each replica (`horovodrun -np {num_replicas} python ...`); or functions "
            "that TensorFlow can trace, with eager=False."
        )


def as_tensors(outputs: Any) -> Any:
    """Returns a nest with NumPy arrays and lists of strings as tensors.

    A list of strings is one output. Any other list is a nest of outputs, as everywhere.
    """
    if isinstance(outputs, dict):
        return {key: as_tensors(part) for key, part in outputs.items()}
    if isinstance(outputs, list | tuple) and not hasattr(outputs, "_fields"):
        if outputs and all(isinstance(part, str | bytes) for part in outputs):
            return tf.constant(list(outputs))
        return type(outputs)(as_tensors(part) for part in outputs)
    if isinstance(outputs, np.ndarray):
        # Texts of NumPy are objects, or of a fixed length.
        return tf.constant(outputs.tolist() if outputs.dtype.kind in "OUS" else outputs)
    return outputs


def evaluate_segment(
    segment: Any, step: Callable[[Any], tuple[Any, ...]], zeros: Sequence[np.ndarray]
) -> tuple[Any, ...]:
    """Evaluates one segment batch by batch.

    Args:
        segment: Its rows and the offsets of its batches; see `Loop.inputs`.
        step: Returns for the rows of a batch the components of each output, how many rows each
            has, and what the batch adds to the sums of the metrics.
        zeros: The sums before the first batch.

    Returns:
        The results of `step`, joined and summed over all batches.

    Raises:
        DataError: The rows of an output differ in shape.
    """
    inputs, offsets = segment
    totals = [tf.constant(each) for each in zeros]
    components, rows = [], []
    for start, stop in itertools.pairwise(offsets.numpy()):
        parts, counts, states = step(sliced(inputs, start, stop))
        components.append(parts)
        rows.append(counts)
        totals = added(totals, states)
    try:
        joined = tf.nest.map_structure(lambda *parts: tf.concat(parts, axis=0), *components)
    except tf.errors.InvalidArgumentError as error:
        raise shapes_differ(error.message) from error
    return joined, tf.stack(rows), totals


def added(totals: Sequence[tf.Tensor], states: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    return [total + state for total, state in zip(totals, states, strict=True)]
