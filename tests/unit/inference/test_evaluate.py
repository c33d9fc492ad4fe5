"""`disteval.evaluate` in one process: what `model.evaluate` returns, and nothing else changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import disteval
from disteval.errors import DataError, MetricError
from metric_models import (
    CASES,
    IMAGES,
    LABELS,
    ONE_HOT,
    WEIGHTS,
    assert_equal,
    classifier,
    first,
    keras_metrics,
)
from sample_data import Batches, striped

keras = tf.keras
COUNT = 45
DATA = first((IMAGES, ONE_HOT, WEIGHTS), COUNT)


@pytest.fixture(scope="module")
def model() -> Any:
    keras.utils.set_random_seed(0)
    return classifier(keras)


def dataset() -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(DATA)


@pytest.mark.parametrize(
    "data",
    [
        lambda: DATA,
        lambda: first((IMAGES.astype(np.float64), ONE_HOT, WEIGHTS), COUNT),
        lambda: tf.nest.map_structure(tf.constant, DATA),
        dataset,
        lambda: dataset().batch(8),
        lambda: Batches(DATA, 8),
        lambda: striped(DATA),
        lambda: lambda *shard: striped(DATA)(*shard).batch(8),
    ],
    ids=["arrays", "float64", "tensors", "dataset", "batched", "PyDataset", "function", "batches"],
)
def test_every_kind_of_data(model: Any, data: Callable[[], Any]) -> None:
    got = disteval.evaluate(model, data(), batch_size=8)
    assert_equal(got, keras_metrics(model, DATA, 8))


@pytest.mark.parametrize("count", [1, 8, 9, 44, 100])
def test_num_samples(model: Any, count: int) -> None:
    got = disteval.evaluate(model, DATA, batch_size=8, num_samples=count)
    assert_equal(got, keras_metrics(model, first(DATA, count), 8))


@pytest.mark.parametrize("data", [DATA[:2], DATA], ids=["without weights", "with weights"])
def test_sample_weights(model: Any, data: Any) -> None:
    assert_equal(disteval.evaluate(model, data), keras_metrics(model, data, 32))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("run_eagerly", [False, True], ids=["graph", "run_eagerly"])
def test_every_kind_of_model(name: str, run_eagerly: bool) -> None:
    model = CASES[name].build(keras)
    model.run_eagerly = run_eagerly
    data = first(CASES[name].data, 20)
    assert_equal(disteval.evaluate(model, data, batch_size=8), keras_metrics(model, data, 8))


def compiled(model: Any, **options: Any) -> Any:
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"], **options)
    return model


@pytest.mark.parametrize(
    "options", [{"steps_per_execution": 4}, {"jit_compile": True}], ids=lambda o: next(iter(o))
)
def test_options_of_compile(options: dict[str, Any]) -> None:
    model = compiled(classifier(keras), **options)
    assert_equal(disteval.evaluate(model, DATA, batch_size=8), keras_metrics(model, DATA, 8))


def test_mixed_precision() -> None:
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = compiled(classifier(keras))
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert_equal(disteval.evaluate(model, DATA), keras_metrics(model, DATA, 32))


def test_a_model_that_was_compiled_again_has_other_metrics(model: Any) -> None:
    model = classifier(keras)
    assert "auc" in disteval.evaluate(model, DATA)
    model.compile("adam", "categorical_crossentropy", metrics=["mae"])
    got = disteval.evaluate(model, DATA)
    assert set(got) == {"loss", "mae"}
    assert_equal(got, keras_metrics(model, DATA, 32))


def test_a_metric_may_be_an_array() -> None:
    model = classifier(keras)
    model.compile(
        "adam",
        "categorical_crossentropy",
        metrics=[keras.metrics.F1Score(average=None, name="f1")],
    )
    got = disteval.evaluate(model, DATA)
    assert isinstance(got["loss"], float)
    assert got["f1"].shape == (4,)
    assert_equal(got, keras_metrics(model, DATA, 32))


def test_a_model_that_is_built_by_its_first_batch() -> None:
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(4, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    got = disteval.evaluate(model, (IMAGES, LABELS))
    assert_equal(got, keras_metrics(model, (IMAGES, LABELS), 32))


def test_training_state_is_left_as_it_is() -> None:
    model = classifier(keras)
    model.fit(IMAGES, ONE_HOT, verbose=0)
    before = [np.asarray(v) for v in (*model.variables, *model.optimizer.variables)]
    disteval.evaluate(model, (IMAGES, ONE_HOT, WEIGHTS))
    after = [np.asarray(v) for v in (*model.variables, *model.optimizer.variables)]
    assert any(array.any() for array in before)
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)


def test_sums_are_in_float64() -> None:
    count = 1_000_000
    x = np.random.default_rng(0).uniform(size=(count, 1)).astype(np.float32)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Identity()])
    model.compile(loss="mse", metrics=["mae"])
    got = disteval.evaluate(model, (x, np.zeros_like(x)), batch_size=64)
    exact = x.astype(np.float64)
    assert got["mae"] == pytest.approx(exact.mean(), rel=1e-7)
    assert got["loss"] == pytest.approx((exact**2).mean(), rel=1e-7)


def test_random_numbers_do_not_depend_on_the_number_of_batches_before() -> None:
    noise = keras.layers.GaussianNoise(1.0)

    class Noisy(keras.Model):
        def call(self, x: Any, training: bool = False) -> Any:
            return noise(x, training=True)

    model = Noisy()
    model.noise = noise
    model.compile(loss="mse")
    x = np.zeros((8, 1), np.float32)
    model(x)
    state = np.asarray(noise.seed_generator.state)
    once, again = (disteval.evaluate(model, (x, x), batch_size=4) for _ in range(2))
    assert once == again
    np.testing.assert_array_equal(noise.seed_generator.state, state)


def test_the_model_has_to_be_compiled() -> None:
    model = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Flatten()])
    with pytest.raises(MetricError, match="the model is not compiled"):
        disteval.evaluate(model, DATA)


def test_the_data_needs_targets(model: Any) -> None:
    with pytest.raises(MetricError, match="the data has no targets, which the loss needs"):
        disteval.evaluate(model, IMAGES)


def test_sizes_are_checked(model: Any) -> None:
    with pytest.raises(DataError, match="batch_size=0"):
        disteval.evaluate(model, DATA, batch_size=0)
