"""The compiled loop: every kind of model, traced once whatever the number of samples."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from disteval.data.sharding import Segment
from disteval.errors import DataError
from disteval.inference.functions import BatchFunctions
from disteval.inference.loop import Loop

keras = tf.keras
SINGLE = tf.distribute.get_strategy()
X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
Y = np.arange(40)


def segment(*sizes: int, of: Any = (X, Y)) -> Segment:
    """Returns a segment of the first samples, in batches of these sizes."""
    rows = sum(sizes)
    batch = tf.nest.map_structure(lambda leaf: leaf[:rows], of)
    return Segment(np.arange(rows), batch, np.cumsum([0, *sizes]))


def run(loop: Loop, *segments: Segment) -> list[Any]:
    """Returns the components of each output of the first segment."""
    return loop.run(segments, loop.inputs(segments))[0].outputs


def dense() -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])


def several_outputs() -> keras.Model:
    inputs = keras.Input((3,))
    outputs = {"sum": keras.layers.Dense(2)(inputs), "pair": [inputs, keras.layers.ReLU()(inputs)]}
    return keras.Model(inputs, outputs)


def mixed_precision() -> keras.Model:
    policy = keras.mixed_precision.Policy("mixed_bfloat16")
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, dtype=policy)])


class Subclassed(keras.Model):
    """A model that is built by its first call."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(2)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        outputs = self.dense(inputs)
        return outputs, tf.fill(tf.shape(outputs), training)


class OwnPredictStep(keras.Model):
    """A model whose predictions are not its outputs."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs

    def predict_step(self, data: tuple[tf.Tensor, ...]) -> dict[str, tf.Tensor]:
        return {"own": self(data[0]) + 1.0, "label": data[1]}


def with_dropout_and_batch_norm() -> keras.Model:
    layers = [keras.layers.BatchNormalization(), keras.layers.Dropout(0.5), keras.layers.Dense(2)]
    return keras.Sequential([keras.Input((3,)), *layers])


MODELS = [
    dense,
    several_outputs,
    mixed_precision,
    Subclassed,
    OwnPredictStep,
    with_dropout_and_batch_norm,
]


@pytest.mark.parametrize("eager", [False, True], ids=["graph", "run_eagerly"])
@pytest.mark.parametrize("build", MODELS)
def test_outputs_are_those_of_predict_step(build: Callable[[], keras.Model], eager: bool) -> None:
    model = build()
    expected = tf.nest.map_structure(np.asarray, model.predict_step((X[:23], Y[:23])))
    model.compile(run_eagerly=eager)
    loop = Loop(model, BatchFunctions(), SINGLE)
    outputs = run(loop, segment(8, 8, 7))
    tf.nest.assert_same_structure(loop.structure, expected)
    for number, want in zip(
        tf.nest.flatten(loop.structure), tf.nest.flatten(expected), strict=True
    ):
        (got,) = outputs[number]
        assert got.dtype == want.dtype
        assert loop.leaves[number].inner == want.shape[1:]
        np.testing.assert_allclose(got.astype("f"), want.astype("f"), rtol=0, atol=1e-6)


def test_run_eagerly_runs_python_for_each_batch() -> None:
    model = dense()
    model.compile(run_eagerly=True)
    seen: list[Any] = []

    def postprocess(outputs: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        seen.append(batch[1].numpy().tolist())
        return outputs

    run(Loop(model, BatchFunctions(postprocess), SINGLE), segment(2, 3))
    assert seen == [[0, 1], [2, 3, 4]]


def traced(model: keras.Model) -> tuple[Loop, list[Any]]:
    """Returns a loop, and the list of its traces, which grows with each."""
    traces: list[Any] = []

    def postprocess(outputs: tf.Tensor, batch: Any) -> tf.Tensor:
        traces.append(batch)
        return outputs

    return Loop(model, BatchFunctions(postprocess), SINGLE), traces


def test_one_trace_for_all_sizes_and_batches() -> None:
    loop, traces = traced(dense())
    for sizes in [(1,), (8, 8, 8), (8, 3), (1, 1, 1), (40,), (32, 8)]:
        ((outputs,),) = run(loop, segment(*sizes))
        assert len(outputs) == sum(sizes)
    assert len(traces) == 1


def test_one_more_trace_covers_all_shapes_of_the_input() -> None:
    keras.utils.set_random_seed(0)
    pointwise = keras.Sequential([keras.Input((None, 1)), keras.layers.Dense(2)])
    loop, traces = traced(pointwise)
    for length in [3, 5, 3, 7, 1, 5]:
        x = np.ones((4, length, 1), np.float32)
        ((outputs,),) = run(loop, segment(2, 2, of=(x,)))
        assert outputs.shape == (4, length, 2)
    assert len(traces) == 2
    assert loop.leaves[0].inner is None


def test_input_of_another_structure_is_traced_anew() -> None:
    loop, traces = traced(dense())
    run(loop, segment(4))
    run(loop, segment(4, of=(X,)))
    run(loop, segment(4, of=(X, Y.astype(np.int32))))
    assert [len(batch) for batch in traces] == [2, 1, 2]


def test_ragged_input_of_any_length_is_traced_once() -> None:
    model = keras.Sequential([keras.layers.Lambda(lambda x: x * 2.0)])
    traces = []

    def postprocess(outputs: Any, batch: Any) -> Any:
        traces.append(batch)
        return batch[0] * 2.0

    loop = Loop(model, BatchFunctions(postprocess), SINGLE)
    for lengths in [[1, 2, 3], [0, 0, 5], [4, 4, 4]]:
        values = np.arange(sum(lengths), dtype=np.float32)
        x = tf.RaggedTensor.from_row_lengths(values, lengths)
        (components,) = run(loop, segment(2, 1, of=(x,)))
        assert components[0].tolist() == lengths
        assert components[1].tolist() == (2 * values).tolist()
    assert len(traces) == 1


def postprocessed(postprocess: Callable[[Any, Any], Any]) -> list[Any]:
    return run(Loop(dense(), BatchFunctions(postprocess), SINGLE), segment(3, 3))


def test_outputs_may_differ_in_shape_by_batch() -> None:
    def padded(outputs: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        labels = tf.cast(batch[1], tf.int64)
        return tf.ragged.range(labels).to_tensor()  # as wide as the batch's largest label

    loop = Loop(dense(), BatchFunctions(padded), SINGLE)
    outputs = [run(loop, segment(size))[0][0] for size in (3, 6)]
    assert [output.shape for output in outputs] == [(3, 2), (6, 5)]
    assert loop.leaves[0].inner is None


def test_outputs_that_differ_in_shape_within_a_segment() -> None:
    def padded(outputs: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        return tf.ragged.range(tf.cast(batch[1], tf.int64)).to_tensor()

    # The buffers of a segment are joined in the graph, where TensorFlow's error would name none.
    with pytest.raises(DataError, match=r"the same shape in all batches.*`postprocess`"):
        postprocessed(padded)


def test_shapes_that_the_graph_does_not_know() -> None:
    def outside(outputs: tf.Tensor, batch: Any) -> tf.Tensor:
        return tf.numpy_function(lambda array: array + 1, [outputs], tf.float32)

    ((shifted,),) = postprocessed(outside)
    np.testing.assert_allclose(shifted, dense()(X[:6]) + 1, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "postprocess",
    [
        lambda outputs, batch: None,
        lambda outputs, batch: tf.reduce_mean(outputs),
        lambda outputs, batch: {"mean": tf.reduce_mean(outputs), "outputs": outputs},
        lambda outputs, batch: 1.0,
    ],
)
def test_outputs_without_rows_are_refused(postprocess: Callable[[Any, Any], Any]) -> None:
    with pytest.raises(DataError, match=r"first dimension is the batch.*`postprocess`"):
        postprocessed(postprocess)


@pytest.mark.parametrize(
    ("postprocess", "rows"),
    [
        (lambda outputs, batch: tf.reduce_sum(outputs, axis=0), 2),
        (lambda outputs, batch: outputs[1:], 2),
        (lambda outputs, batch: (outputs, tf.concat([outputs, outputs], axis=0)), 6),
        (lambda outputs, batch: tf.RaggedTensor.from_row_lengths(outputs, [3, 0]), 2),
    ],
)
def test_a_wrong_number_of_rows_is_refused(
    postprocess: Callable[[Any, Any], Any], rows: int
) -> None:
    with pytest.raises(
        DataError, match=rf"{rows} predictions \(float32\) for a batch of 3 .*one for"
    ):
        postprocessed(postprocess)


def test_rows_that_only_add_up_over_the_batches_are_refused() -> None:
    def shifting(outputs: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        first = tf.reduce_any(batch[1] == 0)
        return tf.cond(first, lambda: outputs[1:], lambda: tf.concat([outputs, outputs[:1]], 0))

    with pytest.raises(DataError, match="one for each"):
        postprocessed(shifting)


def test_errors_of_postprocess_keep_their_type() -> None:
    class OwnError(Exception):
        """An error that a user defines."""

    def postprocess(outputs: tf.Tensor, batch: Any) -> tf.Tensor:
        raise OwnError("no such class")

    with pytest.raises(OwnError, match="no such class"):
        postprocessed(postprocess)


def test_postprocess_may_be_written_with_python_conditions() -> None:
    def postprocess(outputs: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        if tf.reduce_max(batch[1]) > 2:  # noqa: SIM108
            label = -batch[1]
        else:
            label = batch[1]
        return label

    assert postprocessed(postprocess)[0][0].tolist() == [0, 1, 2, -3, -4, -5]


def test_trace_learns_what_comes_out() -> None:
    loop = Loop(
        dense(), BatchFunctions(lambda outputs, batch: {"a": outputs, "b": batch[1]}), SINGLE
    )
    assert (loop.structure, loop.leaves) == (None, [])
    loop.trace((X[:2], Y[:2]))
    assert loop.structure == {"a": 0, "b": 1}
    assert [tuple(leaf) for leaf in loop.leaves] == [("float32", (2,), 0), ("int64", (), 0)]


def test_xla_is_used_where_it_can_be(caplog: pytest.LogCaptureFixture) -> None:
    model = dense()
    model.compile(jit_compile=True)
    with caplog.at_level(logging.DEBUG, "disteval"):
        ((outputs,),) = run(Loop(model, BatchFunctions(), SINGLE), segment(8, 5))
        assert not caplog.messages
        loop = Loop(
            model, BatchFunctions(lambda outputs, batch: tf.strings.as_string(outputs)), SINGLE
        )
        for _ in range(2):
            ((strings,),) = run(loop, segment(8, 5))
    np.testing.assert_array_equal(outputs, model.predict(X[:13], batch_size=8, verbose=0)[:13])
    np.testing.assert_allclose(strings.astype(float), outputs, atol=1e-5)
    (message,) = caplog.messages
    assert message.startswith("XLA cannot compile the model")
    assert "AsString" in message
    assert len(message.splitlines()) == 1


def test_a_model_that_compiles_anew_without_xla() -> None:
    model = dense()
    loop = Loop(model, BatchFunctions(), SINGLE)
    names = []
    for jit_compile in (False, True):
        model.compile(jit_compile=jit_compile)
        run(loop, segment(4))
        functions = loop._compiled.graph.as_graph_def().library.function
        names.append(any(f.attr["_XlaMustCompile"].b for f in functions))
    assert names == [False, True]


def test_each_batch_starts_from_the_same_state(caplog: pytest.LogCaptureFixture) -> None:
    layers = [keras.Input(batch_shape=(2, 3, 1)), keras.layers.LSTM(2, stateful=True)]
    model = keras.Sequential(layers)
    x = np.ones((6, 3, 1), np.float32)
    loop = Loop(model, BatchFunctions(), SINGLE)
    ((outputs,),) = run(loop, segment(2, 2, 2, of=(x,)))
    np.testing.assert_array_equal(outputs, np.repeat(outputs[:1], 6, axis=0))
    assert not any(np.asarray(state).any() for state in model.layers[0].states)
    run(loop, segment(2, of=(x,)))
    (message,) = caplog.messages
    assert "Each batch starts from the value before the evaluation" in message
