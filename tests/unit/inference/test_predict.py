"""`disteval.predict` in one process: what comes back, and what is kept between calls."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import disteval
from disteval.errors import DataError, DistEvalError
from sample_data import Batches, striped

keras = tf.keras
X = np.arange(120, dtype=np.float32).reshape(40, 3)
Y = np.arange(40)[::-1].copy()


def dataset() -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((X, Y))


def doubling() -> keras.Model:
    return keras.Sequential([keras.Input((3,)), keras.layers.Rescaling(2.0)])


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return doubling()


@pytest.mark.parametrize("num_samples", [None, 1, 7, 8, 40, 100])
@pytest.mark.parametrize(
    "data",
    [
        X, (X,), (X, Y), (X, Y, Y),
        dataset(), dataset().batch(7), Batches((X, Y), 7), striped((X, Y)),
    ],
    ids=["x", "(x,)", "(x, y)", "(x, y, w)", "dataset", "batches", "PyDataset", "function"],
)  # fmt: skip
def test_rows_are_samples_in_order(model: keras.Model, data: Any, num_samples: int | None) -> None:
    predictions = disteval.predict(model, data, num_samples=num_samples, batch_size=8)
    assert predictions.dtype == np.float32
    np.testing.assert_array_equal(predictions, 2 * X[:num_samples])


@pytest.mark.parametrize("batch_size", [1, 7, 40, 64])
def test_the_batch_size_never_shows(model: keras.Model, batch_size: int) -> None:
    def postprocess(outputs: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        return tf.stack([batch[1], tf.fill(tf.shape(batch[1]), tf.size(batch[1], tf.int64))], 1)

    labels, sizes = disteval.predict(
        model, (X, Y), batch_size=batch_size, postprocess=postprocess
    ).T
    assert labels.tolist() == Y.tolist()
    full, rest = divmod(40, batch_size)
    assert sizes.tolist() == [batch_size] * full * batch_size + [rest] * rest


def test_the_nest_is_that_of_postprocess(model: keras.Model) -> None:
    def postprocess(outputs: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> Any:
        text = tf.strings.as_string(batch[1])
        return {"b": (outputs, [text]), "a": tf.ragged.range(batch[1] % 3)}

    predictions = disteval.predict(model, (X, Y), postprocess=postprocess)
    assert list(predictions) == ["b", "a"]
    outputs, (text,) = predictions["b"]
    np.testing.assert_array_equal(outputs, 2 * X)
    assert text.tolist() == [b"%d" % label for label in Y]
    assert [row.tolist() for row in predictions["a"]] == [list(range(label % 3)) for label in Y]


@pytest.mark.parametrize("eager", [False, True], ids=["graph", "run_eagerly"])
def test_batches_of_different_shapes(eager: bool) -> None:
    pointwise = keras.Sequential([keras.Input((None, 1)), keras.layers.Rescaling(2.0)])
    pointwise.compile(run_eagerly=eager)
    batches = [np.full((2, length, 1), length, np.float32) for length in (3, 3, 5, 2)]

    def generate() -> Iterator[np.ndarray]:
        yield from batches

    data = tf.data.Dataset.from_generator(generate, output_signature=tf.TensorSpec([None, None, 1]))
    predictions = disteval.predict(pointwise, data)
    expected = [2 * row for batch in batches for row in batch]
    assert all(map(np.array_equal, predictions, expected))
    assert len(predictions) == len(expected)


def test_a_single_replica_of_a_strategy() -> None:
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        mirrored = doubling()
    for backend in ("auto", "mirrored", "single"):
        np.testing.assert_array_equal(disteval.predict(mirrored, X, backend=backend), 2 * X)


def numbered(numbers: list[int]) -> Callable[[int, int], tf.data.Dataset]:
    """Returns a function that yields samples under these numbers."""
    x = X[: len(numbers)]
    return lambda index, count: tf.data.Dataset.from_tensor_slices(
        (np.array(numbers, np.int64), (x, x))
    )


def test_samples_come_in_any_order_from_a_function(model: keras.Model) -> None:
    predictions = disteval.predict(model, numbered([2, 3, 0, 1, 4]))
    np.testing.assert_array_equal(predictions, 2 * X[[2, 3, 0, 1, 4]])


@pytest.mark.parametrize(
    ("numbers", "problem"),
    [
        ([0, 1, 3], "sample 2 is missing"),
        ([1, 2], "sample 0 is missing"),
        ([0, 1, 1], "sample 1 is evaluated twice"),
        ([0, 1, 2, 0, 1], "sample 0 is evaluated twice"),
        ([3, 4, 0, 1], "sample 2 is missing"),
    ],
)
def test_shards_that_do_not_cover(model: keras.Model, numbers: list[int], problem: str) -> None:
    with pytest.raises(DistEvalError, match=f"{problem}.*the same validation_data"):
        disteval.predict(model, numbered(numbers))


@pytest.mark.parametrize(
    "data", [numbered([]), dataset().filter(lambda x, y: False)], ids=["function", "dataset"]
)
def test_no_sample_at_all(model: keras.Model, data: Any) -> None:
    with pytest.raises(DataError, match="at least one sample"):
        disteval.predict(model, data)


def test_an_error_of_the_data_comes_through(model: keras.Model) -> None:
    def broken() -> Iterator[np.ndarray]:
        yield X[0]
        raise OSError("no such file")

    data = tf.data.Dataset.from_generator(broken, output_signature=tf.TensorSpec([3]))
    with pytest.raises(tf.errors.OpError, match="no such file"):
        disteval.predict(model, data)


def test_new_weights_count_at_once() -> None:
    layer = keras.layers.Dense(1, kernel_initializer="ones")
    model = keras.Sequential([keras.Input((3,)), layer])
    for factor in (1.0, 5.0):
        layer.kernel.assign(np.full((3, 1), factor))
        np.testing.assert_array_equal(
            disteval.predict(model, X), factor * X.sum(axis=1, keepdims=True)
        )


def test_the_loop_of_a_model_is_traced_once_in_all_calls(model: keras.Model) -> None:
    traces = []

    def postprocess(outputs: tf.Tensor, batch: Any) -> tf.Tensor:
        traces.append(batch)
        return outputs

    for n, batch_size in [(40, 8), (1, 8), (17, 5), (40, 64)]:
        disteval.predict(model, (X[:n], Y[:n]), batch_size=batch_size, postprocess=postprocess)
        disteval.predict(model, dataset(), batch_size=batch_size, postprocess=postprocess)
    assert len(traces) == 1


def test_another_postprocess_counts_at_once(model: keras.Model) -> None:
    for postprocess, factor in [(None, 2), (lambda outputs, batch: 2.0 * outputs, 4), (None, 2)]:
        predictions = disteval.predict(model, X, postprocess=postprocess)
        np.testing.assert_array_equal(predictions, factor * X)


def test_run_eagerly_counts_at_once() -> None:
    model, eager = doubling(), []

    def postprocess(outputs: tf.Tensor, batch: Any) -> tf.Tensor:
        eager.append(tf.executing_eagerly())
        return outputs

    for run_eagerly in (False, True):
        model.compile(run_eagerly=run_eagerly)
        disteval.predict(model, X, batch_size=64, postprocess=postprocess)
    assert eager == [False, True]


def test_a_model_is_not_kept_alive() -> None:
    model = doubling()
    disteval.predict(model, X)
    reference = weakref.ref(model)
    del model
    for thread in threading.enumerate():
        if thread.name == "disteval-input":
            thread.join()  # it ends by itself, but may still be about to
    gc.collect()
    assert reference() is None


def test_predictions_of_earlier_calls_stay() -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    first = disteval.predict(model, X)
    kept = first.copy()
    model.set_weights([weight + 1.0 for weight in model.get_weights()])
    assert not np.array_equal(disteval.predict(model, X), kept)
    np.testing.assert_array_equal(first, kept)


def test_a_model_that_counts_as_built_before_its_layers_are() -> None:
    class Late(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(2)

        def build(self, input_shape: Any) -> None:
            self.built = True

        def call(self, x: Any) -> Any:
            return self.dense(x)

    model = Late()
    model.build((None, 3))
    assert not model.dense.built
    predictions = disteval.predict(model, X)
    np.testing.assert_allclose(predictions, model.predict(X, verbose=0), atol=1e-6)
