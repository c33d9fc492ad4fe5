"""The compiled inference loop: many batches on every local replica in one call."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from disteval.backends.base import local_devices
from disteval.data.batches import as_tensor, num_rows
from disteval.data.sharding import Pace, Segment
from disteval.errors import DataError
from disteval.inference import wire

PostProcess = Callable[[Any, Any], Any]


class Loop:
    """`model.predict_step` and `postprocess` over segments, one for each local replica.

    Traced once for each form of the input, whatever the number of samples: batches are sliced
    from their segment in the graph, so neither a smaller last batch nor a shorter segment is a
    new form.

    Attributes:
        num_replicas: The number of replicas of this process.
        structure: The nest of the outputs, with the index of each in `leaves`; `None` before the
            first call.
        leaves: What is known of each output; empty before the first call.
        pace: How many batches to evaluate in one call.
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
        self._spec: Any = None
        self._compiled: Any = None

    def inputs(self, segments: Sequence[Segment]) -> list[Any]:
        """Returns the tensors of a round, for `run`. May be called on any thread."""
        inputs = []
        for segment, device in zip(segments, self._devices, strict=False):
            with tf.device(device):  # copied there while the previous round computes
                batch = tf.nest.map_structure(as_tensor, segment.batch)
                # On a GPU, TensorFlow keeps int32 on the host, where the offsets are needed.
                inputs.append((batch, tf.constant(segment.offsets, tf.int32)))
        if len(inputs) < self.num_replicas:
            # Every replica has to take part. The output of those without a segment is dropped.
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
            the segment (and the values of ragged rows). They are views of TensorFlow's memory.

        Raises:
            DataError: The model or `postprocess` did not return one row for each sample.
        """
        function = self._function(inputs)
        started = time.monotonic()
        results = tf.nest.map_structure(np.asarray, function(inputs)[: len(segments)])
        ended = time.monotonic()
        for segment, (_, rows) in zip(segments, results, strict=True):
            self._check_rows(np.diff(segment.offsets), rows)
        outputs = [components for components, _ in results]
        output_bytes, batches = max(
            (sum(array.nbytes for array in tf.nest.flatten(output)), len(segment.offsets) - 1)
            for segment, output in zip(segments, outputs, strict=True)
        )
        self.pace.took(batches, ended - started, output_bytes)
        return outputs

    def trace(self, batch: Any) -> None:
        """Evaluates one batch only to set `structure` and `leaves`."""
        rows = num_rows(batch)
        segments = [Segment(np.arange(rows), batch, np.array([0, rows]))]
        self.run(segments, self.inputs(segments))

    def packed(self, rows: Sequence[Any]) -> Any:
        """Returns the rows of the outputs, packed as the nest that `postprocess` returned."""
        flat = tf.nest.flatten(self.structure)
        return tf.nest.pack_sequence_as(self.structure, [rows[i] for i in flat])

    def _function(self, inputs: list[Any]) -> Callable[[list[Any]], list[Any]]:
        """Returns a function from the inputs of a round to the result of each replica."""
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
                "The rows of one output differ in shape between batches. Received: "
                f"{error.message}. Expected: the same shape in all batches, or a "
                "tf.RaggedTensor; convert the output in `postprocess`."
            ) from error

    def _compile(self) -> Any:
        replica = (self._spec, tf.TensorSpec([None], tf.int32))
        replicas = [replica] * self.num_replicas

        def function(inputs: Any) -> Any:
            return self._evaluate_all(self._evaluate, inputs)

        return tf.function(function, autograph=False).get_concrete_function(replicas)

    def _evaluate_all(self, evaluate: Callable[[Any], Any], inputs: Sequence[Any]) -> list[Any]:
        """Evaluates each segment on its replica, and returns the result of each replica."""
        if int(self.strategy.num_replicas_in_sync) == 1:
            # Without `strategy.run`, which fails in the scope of another strategy: Keras 2 calls
            # callbacks in the scope of the model's strategy.
            with tf.device(self._devices[0]):
                return [evaluate(inputs[0])]
        per_replica = self.strategy.experimental_distribute_values_from_function(
            # The id counts the replicas of all processes; those of one process are consecutive.
            lambda context: inputs[context.replica_id_in_sync_group % self.num_replicas]
        )
        outputs = self.strategy.run(evaluate, args=(per_replica,))
        return list(self.strategy.experimental_local_results(outputs))

    def _evaluate(self, segment: Any) -> tuple[list[list[tf.Tensor]], tf.Tensor]:
        """Evaluates one segment in the graph, batch by batch.

        Returns:
            The results of `_step`, joined over all batches.
        """
        inputs, offsets = segment
        step = tf.function(self._step).get_concrete_function(self._spec)
        components, rows = step.structured_outputs
        count = tf.shape(offsets)[0] - 1
        arrays = [
            tf.TensorArray(
                part.dtype, count, infer_shape=False, element_shape=_any_rows(part.shape)
            )
            for part in tf.nest.flatten(components)
        ]
        table = tf.TensorArray(rows.dtype, count, element_shape=rows.shape)

        def body(i: tf.Tensor, table: tf.TensorArray, arrays: list[tf.TensorArray]) -> Any:
            components, rows = step(_rows(inputs, offsets[i], offsets[i + 1]))
            parts = zip(arrays, tf.nest.flatten(components), strict=True)
            return i + 1, table.write(i, rows), [array.write(i, part) for array, part in parts]

        _, table, arrays = tf.while_loop(lambda i, *_: i < count, body, [0, table, arrays])
        joined = [array.concat() for array in arrays]
        return tf.nest.pack_sequence_as(components, joined), table.stack()

    def _evaluate_eagerly(self, segment: Any) -> tuple[list[list[tf.Tensor]], tf.Tensor]:
        """Evaluates one segment eagerly, for `run_eagerly=True`."""
        inputs, offsets = segment
        bounds = itertools.pairwise(offsets.numpy())
        components, rows = zip(
            *(self._step(_rows(inputs, *bound)) for bound in bounds), strict=True
        )
        joined = tf.nest.map_structure(lambda *parts: tf.concat(parts, axis=0), *components)
        return joined, tf.stack(rows)

    def _step(self, batch: Any) -> tuple[list[list[tf.Tensor]], tf.Tensor]:
        """Evaluates one batch, and sets `structure` and `leaves`.

        Returns:
            The components of each output, and how many rows each has.
        """
        predict_step = self.model.predict_step
        if not _is_keras_2(self.model):
            # Keras 2 applies AutoGraph to the code of users, Keras 3 does not.
            predict_step = tf.autograph.experimental.do_not_convert(predict_step)
        outputs = predict_step(batch)
        if self.postprocess is not None:
            outputs = self.postprocess(outputs, batch)
        flat = tf.nest.flatten(outputs)
        leaves = [wire.Leaf.of(output) for output in flat]
        if tf.executing_eagerly() and len(self.leaves) == len(leaves):
            # An eager tensor has the shape of its batch; a graph knows what all batches share.
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
                "An output of the model or of `postprocess` has another number of rows than its "
                f"batch. Received: {rows[batch, output]} predictions "
                f"({self.leaves[output].dtype}) for a batch of {expected[batch]} samples. "
                "Expected: one for each, along the first dimension."
            )


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
    """Returns the form that covers both, or `spec` if there is none."""
    try:
        merged = tf.nest.map_structure(
            lambda a, b: a.most_specific_common_supertype([b]), known, spec
        )
    except (TypeError, ValueError):
        return spec
    return spec if None in tf.nest.flatten(merged) else merged
