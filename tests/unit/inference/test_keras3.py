"""What only Keras 3 has: variables that a step writes without effect."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import tensorflow as tf

from disteval.inference.keras3 import StatelessSteps

keras = tf.keras
X = tf.ones((2, 1))


class Counting(keras.Model):
    """A model that writes a variable, and draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.count = self.add_weight(shape=(), initializer="zeros", name="count", trainable=False)
        self.seeds = keras.random.SeedGenerator(1)

    def call(self, x: Any) -> Any:
        self.count.assign_add(1.0)
        return x + keras.random.normal((2, 1), seed=self.seeds)


def steps_of(model: Any) -> StatelessSteps:
    return StatelessSteps(model, tf.distribute.get_strategy(), [None])


def test_what_a_step_writes_is_named_and_not_kept() -> None:
    model = Counting()
    model(X)
    count, seed = float(model.count), np.asarray(model.seeds.state)
    steps = steps_of(model)
    results = [steps.run(X, steps.values(0), None, lambda outputs, batch: outputs) for _ in "ab"]
    assert [result.written for result in results] == [[model.count.path]] * 2
    np.testing.assert_array_equal(results[0].outputs, results[1].outputs)
    assert float(model.count) == count
    np.testing.assert_array_equal(model.seeds.state, seed)


def test_the_name_of_the_state_of_random_numbers() -> None:
    """`SEED` is the only name by which the variable of a generator is known."""
    steps = steps_of(Counting())
    assert steps.model.seeds.state.name == "seed_generator_state"


def test_assignments_of_tensorflow_are_found_in_functions_as_well() -> None:
    variable = tf.Variable(0.0)

    @tf.function
    def inner() -> None:
        variable.assign_add(1.0)

    @tf.function
    def outer() -> None:
        inner()

    steps = steps_of(Counting())
    (name,) = steps.assigned(outer.get_concrete_function().graph)
    assert name.startswith("a tf.Variable")
    assert steps.assigned(tf.function(lambda: X + 1).get_concrete_function().graph) == []


def test_work_outside_of_the_scope_of_a_strategy() -> None:
    steps = steps_of(Counting())

    def work() -> tuple[bool, str]:
        return tf.distribute.has_strategy(), threading.current_thread().name

    here = threading.current_thread().name
    assert steps.out_of_scope(work) == (False, here)
    with tf.distribute.OneDeviceStrategy("CPU:0").scope():
        has_strategy, thread = steps.out_of_scope(work)
    assert not has_strategy
    assert thread != here


def test_replicas_run_on_their_devices() -> None:
    steps = StatelessSteps(Counting(), tf.distribute.get_strategy(), ["CPU:0"])
    assert steps.replicate(lambda given, replica: (given, replica), [7]) == [(7, 0)]
