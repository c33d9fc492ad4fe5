"""The compiled inference loop: many batches on every local replica in one call."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from disteval.backends.base import local_devices
from disteval.data.batches import as_tensor, cut, num_rows, split_element
from disteval.data.sharding import Pace, Segment
from disteval.errors import DataError
from disteval.inference import wire
from disteval.inference.eager import EagerStep, added, check_replicas, evaluate_segment
from disteval.inference.forms import array_of, fits, generalized, shapes_differ, sliced, spec_of
from disteval.inference.functions import BatchFunctions
from disteval.inference.metrics import CompiledMetrics, Validation
from disteval.inference.seeds import numbered
from disteval.inference.steps import StepResult, make_steps
from disteval.inference.tracing import failed_at, plain_errors

logger = logging.getLogger("disteval")


class SegmentResult(NamedTuple):
    """What came of a segment.

    Attributes:
        outputs: For each output, its components: arrays whose rows are those of the segment (and
            the values of ragged rows).
        rows: The number of rows of each output in each batch; int32 of shape `(batches, outputs)`.
        states: What the segment adds to the sums of the metrics.
    """

    outputs: list[list[np.ndarray]]
    rows: np.ndarray
    states: list[np.ndarray]


class Loop:
    """The steps of a model and a user's functions over segments, one for each local replica.

    Traced once for each form of the input, whatever the number of samples: batches are sliced
    from their segment in the graph, so neither a smaller last batch nor a shorter segment is a
    new form.

    Attributes:
        num_replicas: The number of replicas of this process.
        structure: The nest of the outputs, with the index of each in `leaves`; `None` before the
            first call.
        leaves: What is known of each output; empty before the first call.
        pace: How many batches to evaluate in one call.
        validation: Finds out which metrics the model has.
        metrics: The metrics that the loop sums; `None` for none.
    """

    def __init__(self, model: Any, functions: BatchFunctions, strategy: Any) -> None:
        self.model = model
        self.functions = functions
        self.strategy = strategy
        self._devices = local_devices(strategy)
        self.num_replicas = len(self._devices)
        check_replicas(functions, self.num_replicas)
        self.structure: Any = None
        self.leaves: list[wire.Leaf] = []
        # In Python, a call for each batch costs little, and its outputs may have any shape.
        self.pace = Pace(limit=1 if functions.eager else None)
        self.metrics: CompiledMetrics | None = None
        self._steps = make_steps(model, strategy, self._devices)
        self._eager_step = EagerStep(self._steps, functions) if functions.eager else None
        self.validation = Validation(self._steps)
        self._spec: Any = None
        self._traced: tuple[Any, ...] | None = None
        self._compiled: Any = None
        self._xla_failed = False
        self._called = False
        self._written: list[str] = []
        self._warned: set[str] = set()

    def build(self, batch: Callable[[], Any]) -> None:
        """Creates the variables of a model that creates them with its first batch.

        Args:
            batch: Returns a batch of the data.
        """
        # A subclass whose `build` leaves its layers unbuilt counts as built itself.
        built = self.model.built and all(layer.built for layer in self.model.layers)
        if not built and not self._called:
            self._called = True
            x, _ = split_element(cut(batch(), 1))
            with self.strategy.scope():
                self.model(tf.nest.map_structure(as_tensor, x), training=False)

    def lent(self) -> contextlib.AbstractContextManager[None]:
        """Restores what a block of calls of `run` changes in the model."""
        return self._steps.lent()

    def inputs(self, segments: Sequence[Segment]) -> list[Any]:
        """Returns the tensors of a round, for `run`. May be called on any thread."""
        inputs = []
        for segment, device in zip(segments, self._devices, strict=False):
            with tf.device(device):  # copied there while the previous round computes
                rows = tf.nest.map_structure(as_tensor, (segment.batch, segment.index))
                # On a GPU, TensorFlow keeps int32 on the host, where the offsets are needed.
                inputs.append((rows, tf.constant(segment.offsets, tf.int32)))
        if len(inputs) < self.num_replicas:
            # Every replica has to take part. The output of those without a segment is dropped.
            idle = (sliced(inputs[0][0], 0, 1), tf.constant([0, 1], tf.int32))
            inputs += [idle] * (self.num_replicas - len(inputs))
        return inputs

    def run(self, segments: Sequence[Segment], inputs: list[Any]) -> list[SegmentResult]:
        """Evaluates one round.

        Args:
            segments: One for each local replica, or fewer.
            inputs: Their tensors.

        Returns:
            What came of each segment. The arrays are views of TensorFlow's memory.

        Raises:
            DataError: The model or a function did not return one row for each sample.
        """
        function = self._function(inputs)
        started = time.monotonic()
        results = [
            SegmentResult(*result)
            for result in tf.nest.map_structure(np.asarray, function(inputs)[: len(segments)])
        ]
        ended = time.monotonic()
        if self._written:
            self._warn_once(
                "The model writes %s when it predicts. Each batch starts from the value before the "
                "evaluation, which is left as it is.", ", ".join(self._written)
            )  # fmt: skip
        for segment, result in zip(segments, results, strict=True):
            self._check_rows(np.diff(segment.offsets), result.rows)
        output_bytes, batches = max(
            (sum(array.nbytes for array in tf.nest.flatten(result.outputs)), len(result.rows))
            for result in results
        )
        self.pace.took(batches, ended - started, output_bytes)
        return results

    def trace(self, batch: Any) -> None:
        """Evaluates one batch only to set `structure` and `leaves`."""
        rows = num_rows(batch)
        segments = [Segment(np.arange(rows), batch, np.array([0, rows]))]
        self.run(segments, self.inputs(segments))

    def warn_of_second_pass(self) -> None:
        """Says once that the metrics take a forward pass of their own, if they do."""
        if self.metrics and self.functions.infer is not None:
            self._warn_once(
                "The metrics of the validation data take a second forward pass, beside that of "
                "`infer`. validate=False leaves them out."
            )

    def packed(self, rows: Sequence[Any]) -> Any:
        """Returns the rows of the outputs, packed as the nest that `postprocess` returned."""
        flat = tf.nest.flatten(self.structure)
        return tf.nest.pack_sequence_as(self.structure, [rows[i] for i in flat])

    def _warn_once(self, message: str, *args: Any) -> None:
        if message not in self._warned:
            self._warned.add(message)
            logger.warning(message, *args)

    def _function(self, inputs: list[Any]) -> Callable[[list[Any]], list[Any]]:
        """Returns a function from the inputs of a round to the result of each replica."""
        if self.model.run_eagerly or self._eager_step is not None:
            return lambda inputs: self._steps.out_of_scope(
                lambda: self._steps.replicate(self._evaluate_eagerly, inputs)
            )
        spec, traced = spec_of(inputs[0][0]), (self.metrics, self._uses_xla())
        if self._compiled is None or traced != self._traced or not fits(self._spec, spec):
            self._spec = spec if self._spec is None else generalized(self._spec, spec)
            self._traced = traced
            self._compiled = self._compile()
        return self._call

    def _uses_xla(self) -> bool:
        """Whether XLA compiles the steps, as it does in `model.predict`."""
        return bool(self.model.jit_compile) and not self._xla_failed

    def _call(self, inputs: list[Any]) -> Any:
        try:
            return self._compiled(inputs)
        except tf.errors.OpError as error:
            if self._uses_xla():  # fails for strings and outputs of unknown size, for instance
                lines = error.message.strip().splitlines()
                reason = next((line for line in lines if "unsupported" in line), lines[0])
                logger.debug("XLA cannot compile the model, which runs without it: %s", reason)
                self._xla_failed = True
                return self._function(inputs)(inputs)
            if not failed_at(error, "TensorListConcat"):
                raise
            raise shapes_differ(error.message) from error

    def _compile(self) -> Any:
        replica = (self._spec, tf.TensorSpec([None], tf.int32))
        replicas = [replica] * self.num_replicas

        def function(inputs: Any) -> Any:
            return self._steps.replicate(self._evaluate, inputs)

        trace = tf.function(function, autograph=False).get_concrete_function
        with plain_errors():
            return self._steps.out_of_scope(lambda: trace(replicas))

    def _evaluate(self, segment: Any, replica: int) -> tuple[Any, ...]:
        """Evaluates one segment in the graph, batch by batch.

        Returns:
            The results of `_step`, joined and summed over all batches.
        """
        inputs, offsets = segment
        values = self._steps.values(replica)

        traced = tf.function(
            lambda batch: self._step(batch, values), autograph=False, jit_compile=self._uses_xla()
        )
        step = traced.get_concrete_function(self._spec)
        components, rows, _ = step.structured_outputs
        parts = tf.nest.flatten(components)
        count = tf.shape(offsets)[0] - 1
        arrays = [array_of(part, count) for part in parts]
        table = tf.TensorArray(rows.dtype, count, element_shape=rows.shape)
        zeros = self.metrics.zeros() if self.metrics else []

        def body(i: tf.Tensor, table: Any, arrays: list[Any], totals: list[tf.Tensor]) -> Any:
            components, rows, states = step(sliced(inputs, offsets[i], offsets[i + 1]))
            new = zip(arrays, tf.nest.flatten(components), strict=True)
            arrays = [array.write(i, tf.cast(part, array.dtype)) for array, part in new]
            return i + 1, table.write(i, rows), arrays, added(totals, states)

        _, table, arrays, totals = tf.while_loop(
            lambda i, *_: i < count,
            body,
            [0, table, arrays, [tf.constant(z) for z in zeros]],
            parallel_iterations=self._steps.parallel_iterations,
        )
        whole = [tf.cast(a.concat(), p.dtype) for a, p in zip(arrays, parts, strict=True)]
        return tf.nest.pack_sequence_as(components, whole), table.stack(), totals

    def _evaluate_eagerly(self, segment: Any, replica: int) -> tuple[Any, ...]:
        """Evaluates one segment in Python; see `_evaluate`."""
        values, zeros = self._steps.values(replica), self.metrics.zeros() if self.metrics else []
        return evaluate_segment(segment, lambda rows: self._step(rows, values), zeros)

    def _step(self, rows_of_batch: Any, values: Any) -> tuple[Any, ...]:
        """Evaluates one batch with the numbers of its samples; sets `structure` and `leaves`.

        Returns:
            The components of each output, how many rows each has, and what the batch adds to the
            sums of the metrics.
        """
        batch, numbers = rows_of_batch
        states = None
        if self.metrics is not None:
            self.metrics.check_batch(batch)
            states = [tf.zeros(v.shape, v.dtype) for v in self.metrics.variables]
        with numbered(numbers):
            result = self._run_functions(batch, values, states)
        self._written = result.written
        flat = tf.nest.flatten(result.outputs)
        leaves = [wire.Leaf.of(output) for output in flat]
        if tf.executing_eagerly() and len(self.leaves) == len(leaves):
            # An eager tensor has the shape of its batch; a graph knows what all batches share.
            leaves = [a.merged(b) for a, b in zip(self.leaves, leaves, strict=True)]
        self.leaves = leaves
        self.structure = tf.nest.pack_sequence_as(result.outputs, range(len(flat)))
        components = [wire.components(output) for output in flat]
        rows = tf.convert_to_tensor([tf.shape(parts[0])[0] for parts in components], tf.int32)
        packed = self.metrics.pack(result.states) if self.metrics is not None else []
        return components, rows, packed

    def _run_functions(self, batch: Any, values: Any, states: Any) -> StepResult:
        if self._eager_step is not None:
            return self._eager_step.run(batch, states)
        infer, finish = self.functions.infer_for(self.model), self.functions.finish
        return self._steps.run(batch, values, states, finish, infer)

    def _check_rows(self, expected: np.ndarray, rows: np.ndarray) -> None:
        """Raises unless each output has a row for each sample, in each batch."""
        wrong = np.argwhere(rows != expected[:, np.newaxis])
        if len(wrong):
            batch, output = wrong[0]
            raise DataError(
                "An output of the model, `infer` or `postprocess` has another number of rows "
                f"than its batch. Received: {rows[batch, output]} predictions "
                f"({self.leaves[output].dtype}) for a batch of {expected[batch]} samples. "
                "Expected: one for each, along the first dimension."
            )
