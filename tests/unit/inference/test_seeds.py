"""A seed for each sample, from its number."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import disteval
from disteval.errors import DistEvalError
from disteval.inference.seeds import numbered, sample_seeds


def test_a_seed_is_the_number_of_the_sample() -> None:
    with numbered(tf.constant([0, 5, 2**32 + 7], tf.int64)):
        seeds = sample_seeds()
    assert seeds.dtype == tf.int32
    np.testing.assert_array_equal(seeds, [[0, 0], [5, 0], [7, 1]])


def test_no_seeds_without_a_batch() -> None:
    with numbered(tf.constant([1], tf.int64)):
        pass
    with pytest.raises(DistEvalError, match="in `infer` or `postprocess`"):
        disteval.sample_seeds()


def test_postprocess_has_the_seeds_of_all_sources() -> None:
    model = tf.keras.Sequential([tf.keras.Input((1,)), tf.keras.layers.Dense(1)])
    x = np.zeros((10, 1), np.float32)

    def postprocess(outputs: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
        return disteval.sample_seeds()

    for data in (x, tf.data.Dataset.from_tensor_slices(x).batch(3)):
        for eager in (False, True):
            found = disteval.predict(model, data, postprocess=postprocess, eager=eager)
            np.testing.assert_array_equal(found[:, 0], np.arange(10))


def test_a_step_of_the_model_has_the_seeds_of_its_batch() -> None:
    class Own(tf.keras.Model):
        def predict_step(self, data: tf.Tensor) -> tf.Tensor:
            return disteval.sample_seeds()

    inputs = tf.keras.Input((1,))
    model = Own(inputs, inputs)
    for eager in (False, True):
        found = disteval.predict(model, np.zeros((10, 1)), batch_size=3, eager=eager)
        np.testing.assert_array_equal(found[:, 0], np.arange(10))
