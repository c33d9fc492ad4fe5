"""The compiled inference loop: many batches on every local replica in one call."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from disteval import wire
from disteval.backends.local import local_devices
from disteval.balance import Balance
from disteval.batches import as_tensor, num_rows
from disteval.errors import DataError
from disteval.segments import Pace, Segment

PostProcess = Callable[[Any, Any], Any]


class Loop:
    """`model.predict_step` and `postprocess` over segments, one for each local replica.

    Traced once for a form of the input, whatever the number of samples: a batch is cut out of
    its segment in the graph, so that neither the last, smaller batch nor a shorter segment is a
    new form.

    Attributes:
        num_replicas: The number of replicas of this process.
        structure: Nest of the outputs, with the number of its leaf at each; after the first call.
        leaves: What is known of each output; after the first call.
        pace: How many batches to evaluate in one call.
        balance: How much each replica should evaluate.
        seconds: How long each segment of the last round took; zeros if there is one replica only.
    """

    def __init__(self, model: Any, postprocess: PostProcess | None, strategy: Any) -> None:
        self.model = model
        self.postprocess = postprocess
        self.strategy = strategy
        self._devices = local_devices(strategy)
        self.num_replicas = len(self._devices)
        self.structure: Any = None
        self.leaves: list[wire.Leaf] = []
        self.pace = Pace()
        self.balance = Balance()
        self.seconds = [0.0] * self.num_replicas
        self._spec: Any = None
        self._compiled: Any = None

    def inputs(self, segments: Sequence[Segment]) -> list[Any]:
        """Returns the tensors of a round, for `run`; on any thread."""
        inputs = []
        for segment, device in zip(segments, self._devices, strict=False):
            with tf.device(device):  # there now, while the round before computes
                batch = tf.nest.map_structure(as_tensor, segment.batch)
                # Of all integers, only those of 32 bits stay on the host, where they are needed.
                inputs.append((batch, tf.constant(segment.splits, tf.int32)))
        if len(inputs) < self.num_replicas:
            # Every replica has to take part. Those without a segment evaluate a sample in vain.
            idle = (_rows(inputs[0][0], 0, 1), tf.constant([0, 1], tf.int32))
            inputs += [idle] * (self.num_replicas - len(inputs))
        return inputs

    def run(self, segments: Sequence[Segment], inputs: list[Any]) -> list[list[list[np.ndarray]]]:
        """Evaluates one round.

        Args:
            segments: One for each local replica, or fewer.
            inputs: Their tensors.

        Returns:
            For each segment, for each output, its components: arrays whose rows are those of
            the segment (and the values of ragged rows). They lie in TensorFlow's memory.

        Raises:
            DataError: The model or `postprocess` did not return one row for each sample.
        """
        function = self._function(inputs)
        started = time.monotonic()
        results = tf.nest.map_structure(np.asarray, function(inputs)[: len(segments)])
        ended = time.monotonic()
        self.seconds = [float(end) - started if end else 0.0 for _, _, end in results]
        for segment, (_, rows, _) in zip(segments, results, strict=True):
            self._check_rows(np.diff(segment.splits), rows)
        outputs = [components for components, _, _ in results]
        output_bytes, batches = max(
            (sum(array.nbytes for array in tf.nest.flatten(output)), len(segment.splits) - 1)
            for segment, output in zip(segments, outputs, strict=True)
        )
        self.pace.took(batches, ended - started, output_bytes)
        return outputs

    def trace(self, batch: Any) -> None:
        """Evaluates one batch for nothing but to learn what comes out."""
        rows = num_rows(batch)
        segments = [Segment(np.arange(rows), batch, np.array([0, rows]))]
        self.run(segments, self.inputs(segments))

    def packed(self, rows: Sequence[Any]) -> Any:
        """Returns the rows of each output in the nest that `postprocess` returned."""
        flat = tf.nest.flatten(self.structure)
        return tf.nest.pack_sequence_as(self.structure, [rows[i] for i in flat])

    def _function(self, inputs: list[Any]) -> Callable[[list[Any]], list[Any]]:
        """Returns what evaluates a round of such inputs; it returns a list, as `_evaluate` each."""
        if self.model.run_eagerly:
            return functools.partial(self._evaluate_all, self._evaluate_eagerly)
        spec = _spec_of(inputs[0][0])
        if self._compiled is None or not _fits(self._spec, spec):
            self._spec = spec if self._spec is None else _generalized(self._spec, spec)
            self._compiled = self._compile()
        return self._call

    def _call(self, inputs: list[Any]) -> Any:
        try:
            return self._compiled(inputs)
        except tf.errors.InvalidArgumentError as error:
            if "TensorListConcat" not in error.message:
                raise
            raise DataError(
                "Received: an output whose rows have another shape in each batch. Expected: the "
                "same shape in all batches, or a tf.RaggedTensor; convert the output in "
                f"`postprocess`. TensorFlow says: {error.message}"
            ) from error

    def _compile(self) -> Any:
        replica = (self._spec, tf.TensorSpec([None], tf.int32))
        replicas = [replica] * self.num_replicas

        def function(inputs: Any) -> Any:
            return self._evaluate_all(self._evaluate, inputs)

        return tf.function(function, autograph=False).get_concrete_function(replicas)

    def _evaluate_all(self, evaluate: Callable[[Any], Any], inputs: Sequence[Any]) -> list[Any]:
        """Evaluates each replica's segment on it; the list of what each replica returned."""
        if int(self.strategy.num_replicas_in_sync) == 1:
            # Not by `run`, which the scope of another strategy refuses, and callbacks of Keras 2
            # are called in the scope of the model's.
            with tf.device(self._devices[0]):
                return [evaluate(inputs[0])]
        per_replica = self.strategy.experimental_distribute_values_from_function(
            # Its number among all processes; the replicas of a process follow each other.
            lambda context: inputs[context.replica_id_in_sync_group % self.num_replicas]
        )
        outputs = self.strategy.run(evaluate, args=(per_replica,))
        return list(self.strategy.experimental_local_results(outputs))

    def _evaluate(self, segment: Any) -> tuple[list[list[tf.Tensor]], tf.Tensor, tf.Tensor]:
        """Evaluates one segment in the graph, batch by batch.

        Returns:
            What `_step` does for all batches, and when that was there, or 0 where nobody asks.
        """
        inputs, splits = segment
        step = tf.function(self._step).get_concrete_function(self._spec)
        components, rows = step.structured_outputs
        count = tf.shape(splits)[0] - 1
        arrays = [
            tf.TensorArray(
                part.dtype, count, infer_shape=False, element_shape=_any_rows(part.shape)
            )
            for part in tf.nest.flatten(components)
        ]
        table = tf.TensorArray(rows.dtype, count, element_shape=rows.shape)

        def body(i: tf.Tensor, table: tf.TensorArray, arrays: list[tf.TensorArray]) -> Any:
            components, rows = step(_rows(inputs, splits[i], splits[i + 1]))
            parts = zip(arrays, tf.nest.flatten(components), strict=True)
            return i + 1, table.write(i, rows), [array.write(i, part) for array, part in parts]

        _, table, arrays = tf.while_loop(lambda i, *_: i < count, body, [0, table, arrays])
        joined = [array.concat() for array in arrays]
        end = _time_of(joined) if joined and self.num_replicas > 1 else tf.constant(0.0)
        return tf.nest.pack_sequence_as(components, joined), table.stack(), end

    def _evaluate_eagerly(self, segment: Any) -> tuple[list[list[tf.Tensor]], tf.Tensor, tf.Tensor]:
        """The same without a graph, for `run_eagerly=True`."""
        inputs, splits = segment
        bounds = itertools.pairwise(splits.numpy())
        components, rows = zip(
            *(self._step(_rows(inputs, *bound)) for bound in bounds), strict=True
        )
        joined = tf.nest.map_structure(lambda *parts: tf.concat(parts, axis=0), *components)
        return joined, tf.stack(rows), tf.constant(0.0)

    def _step(self, batch: Any) -> tuple[list[list[tf.Tensor]], tf.Tensor]:
        """Evaluates one batch and takes note of what comes out.

        Returns:
            The components of each output, and how many rows each has.
        """
        predict_step = self.model.predict_step
        if not _is_keras_2(self.model):
            # Keras 3 does not convert what users write into a graph; Keras 2 does.
            predict_step = tf.autograph.experimental.do_not_convert(predict_step)
        outputs = predict_step(batch)
        if self.postprocess is not None:
            outputs = self.postprocess(outputs, batch)
        flat = tf.nest.flatten(outputs)
        leaves = [wire.Leaf.of(output) for output in flat]
        if tf.executing_eagerly() and len(self.leaves) == len(leaves):
            # Without a graph, the shapes of one batch say nothing of those of another.
            leaves = [a.merged(b) for a, b in zip(self.leaves, leaves, strict=True)]
        self.leaves = leaves
        self.structure = tf.nest.pack_sequence_as(outputs, range(len(flat)))
        components = [wire.components(output) for output in flat]
        return components, tf.stack([tf.shape(parts[0])[0] for parts in components])

    def _check_rows(self, expected: np.ndarray, rows: np.ndarray) -> None:
        """Raises unless each output has a row for each sample, in each batch."""
        wrong = np.argwhere(rows != expected[:, np.newaxis])
        if len(wrong):
            batch, output = wrong[0]
            raise DataError(
                f"Received: {rows[batch, output]} predictions ({self.leaves[output].dtype}) for a "
                f"batch of {expected[batch]} samples. Expected: one for each, along the first "
                "dimension of each output of the model or of `postprocess`."
            )


def _time_of(results: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns `time.monotonic()` of when results are there, in the graph of one replica."""
    # A value of them, since it is copied from a device when that has got so far. And not by
    # tf.timestamp: of stateful operations one waits for the other, and so would the replicas.
    value = tf.reshape(results[0], [-1])[:1]
    with tf.device("CPU:0"):
        return tf.numpy_function(lambda _: time.monotonic(), [value], tf.float64, stateful=False)


def _is_keras_2(model: Any) -> bool:
    return any(kind.__module__.startswith("tf_keras.") for kind in model.__class__.__mro__)


def _any_rows(shape: tf.TensorShape) -> tf.TensorShape:
    """Returns the shape of a component with any number of rows."""
    return tf.TensorShape([None]).concatenate(shape[1:]) if shape.rank else shape


def _rows(batch: Any, start: Any, stop: Any) -> Any:
    return tf.nest.map_structure(lambda tensor: tensor[start:stop], batch)


def _spec_of(batch: Any) -> Any:
    """Returns the form of a batch of any number of rows."""

    def spec(tensor: Any) -> Any:
        if isinstance(tensor, tf.RaggedTensor):
            return tf.RaggedTensorSpec(
                [None, *tensor.shape[1:]], tensor.dtype, tensor.ragged_rank, tensor.row_splits.dtype
            )
        return tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype)

    return tf.nest.map_structure(spec, batch)


def _fits(known: Any, spec: Any) -> bool:
    try:
        tf.nest.assert_same_structure(known, spec)
    except (TypeError, ValueError):
        return False
    return all(
        a.is_compatible_with(b) and b.is_subtype_of(a)
        for a, b in zip(tf.nest.flatten(known), tf.nest.flatten(spec), strict=True)
    )


def _generalized(known: Any, spec: Any) -> Any:
    """Returns the form that covers both, or `spec` where none does."""
    try:
        merged = tf.nest.map_structure(
            lambda a, b: a.most_specific_common_supertype([b]), known, spec
        )
    except (TypeError, ValueError):
        return spec
    return spec if None in tf.nest.flatten(merged) else merged
