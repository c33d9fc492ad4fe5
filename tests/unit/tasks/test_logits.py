"""Logits or probabilities, told by the layer that makes an output, and by its loss."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf
import tf_keras

from disteval.errors import DistEvalError
from disteval.tasks.logits import returns_logits
from disteval.tasks.selection import Selection

BOTH = pytest.mark.parametrize("keras", [tf.keras, tf_keras], ids=["keras 3", "keras 2"])


def told(model: Any, key: Any = None) -> bool:
    return returns_logits(model, "auto", Selection(key))


def network(keras: Any, activation: Any = None, loss: Any = None, *after: Any) -> Any:
    """Returns a compiled network of one output."""
    layers = [keras.Input((4,)), keras.layers.Dense(3, activation=activation), *after]
    model = keras.Sequential(layers)
    model.compile("sgd", loss)
    return model


def from_logits(y: Any, outputs: Any) -> Any:
    """A loss of the user's own, with a name that says nothing."""
    return tf.nn.softmax_cross_entropy_with_logits(y, outputs)


@BOTH
@pytest.mark.parametrize(
    ("activation", "loss", "expected"),
    [
        ("softmax", None, False),
        ("sigmoid", None, False),
        (tf.nn.softmax, None, False),
        ("softmax", lambda keras: keras.losses.CategoricalCrossentropy(from_logits=True), False),
        ("softmax", "mse", False),
        (None, None, True),
        (None, lambda keras: keras.losses.CategoricalCrossentropy(from_logits=True), True),
        (None, lambda keras: [keras.losses.BinaryCrossentropy(from_logits=True)], True),
        (
            None,
            lambda keras: functools.partial(
                keras.losses.categorical_crossentropy, from_logits=True
            ),
            True,
        ),
        (None, lambda keras: from_logits, True),
        ("relu", lambda keras: keras.losses.CategoricalCrossentropy(from_logits=True), True),
        ("relu", "sparse_categorical_crossentropy", False),
        ("relu", "SparseCategoricalCrossentropy", False),
        ("relu", "bce", False),
        ("relu", lambda keras: keras.losses.sparse_categorical_crossentropy, False),
    ],
)
def test_one_output(keras: Any, activation: Any, loss: Any, expected: bool) -> None:
    made = loss(keras) if isinstance(loss, Callable) else loss  # type: ignore[arg-type]
    assert told(network(keras, activation, made)) is expected


@BOTH
@pytest.mark.parametrize(
    ("activation", "loss", "why"),
    [
        ("relu", None, "neither its last layer nor its loss says so"),
        ("relu", from_logits, "neither its last layer nor its loss says so"),
        ("relu", "mse", "its loss is no cross-entropy"),
        (None, "mse", "its loss is no cross-entropy"),
        (None, "categorical_crossentropy", "linear, but its loss expects probabilities"),
    ],
)
def test_what_is_not_known(keras: Any, activation: Any, loss: Any, why: str) -> None:
    model = network(keras, activation, loss)
    with pytest.raises(DistEvalError, match=rf"{why}.*Expected: from_logits=True or False"):
        told(model)
    for given in (True, False):
        assert returns_logits(model, given, Selection()) is given


@BOTH
def test_layers_that_only_activate(keras: Any) -> None:
    layers = keras.layers
    assert not told(network(keras, None, None, layers.Activation("softmax", dtype="float32")))
    assert not told(network(keras, None, None, layers.Softmax()))
    # As in Keras' guide to mixed precision: only the dtype changes.
    linear = layers.Activation("linear", dtype="float32")
    assert not told(network(keras, "softmax", "categorical_crossentropy", linear))
    with pytest.raises(DistEvalError, match="neither"):
        told(network(keras, "softmax", None, layers.Activation("linear")))


@BOTH
def test_nested_models(keras: Any) -> None:
    for inner in (network(keras, "softmax"), network(keras, None, None, keras.layers.Softmax())):
        inputs = keras.Input((4,))
        assert not told(keras.Model(inputs, keras.Sequential([inner])(inputs)))
    inputs = keras.Input((4,))
    assert told(keras.Model(inputs, network(keras)(inputs)))


def test_an_operation_at_the_end() -> None:
    inputs = tf.keras.Input((4,))
    hidden = tf.keras.layers.Dense(3)(inputs)
    assert not told(tf.keras.Model(inputs, tf.keras.ops.softmax(hidden)))
    assert not told(tf.keras.Model(inputs, tf.keras.ops.sigmoid(hidden)))


@BOTH
def test_the_users_own_classes_tell_nothing(keras: Any) -> None:
    class Head(keras.layers.Dense):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            return tf.nn.softmax(super().call(inputs))

    class Model(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(3)

        def call(self, inputs: Any) -> Any:
            return tf.nn.softmax(self.dense(inputs))

    inputs = keras.Input((4,))
    for model in (keras.Model(inputs, Head(3)(inputs)), Model()):
        model.build((None, 4))
        with pytest.raises(DistEvalError, match="neither its last layer nor its loss"):
            told(model)
        model.compile("sgd", "sparse_categorical_crossentropy")
        assert not told(model)


@BOTH
def test_an_output_of_a_subclass(keras: Any) -> None:
    class Model(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(3)

        def call(self, inputs: Any) -> Any:
            return {"cls": tf.nn.softmax(self.dense(inputs)), "raw": self.dense(inputs)}

    model = Model()
    with pytest.raises(DistEvalError, match="neither its last layer nor its loss"):
        told(model, "cls")
    from_logits = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile("sgd", {"cls": "categorical_crossentropy", "raw": from_logits})
    assert not told(model, "cls")
    assert told(model, "raw")


def test_a_loss_that_is_an_object_with_a_call() -> None:
    class Own:
        def __call__(self, y: Any, outputs: Any) -> Any:
            return tf.reduce_mean(outputs)

    assert told(network(tf.keras, None, Own()))
    with pytest.raises(DistEvalError, match="neither its last layer nor its loss"):
        told(network(tf.keras, "relu", Own()))


def test_a_predict_step_of_the_users_own_may_return_either() -> None:
    class Probabilities(tf.keras.Sequential):  # type: ignore[misc]
        def predict_step(self, data: Any) -> Any:
            return tf.nn.softmax(super().predict_step(data))

    model = Probabilities([tf.keras.Input((4,)), tf.keras.layers.Dense(3)])
    model.compile("sgd", tf.keras.losses.CategoricalCrossentropy(from_logits=True))
    with pytest.raises(DistEvalError, match="its own predict_step may return either"):
        told(model)


@BOTH
@pytest.mark.parametrize("nested", [dict, list])
def test_each_of_several_outputs(keras: Any, nested: type) -> None:
    inputs = keras.Input((4,))
    outputs = {
        "cls": keras.layers.Dense(3, activation="softmax", name="cls")(inputs),
        "raw": keras.layers.Dense(3, name="raw")(inputs),
        "any": keras.layers.Dense(3, activation="relu", name="any")(inputs),
        "val": keras.layers.Dense(1, name="val")(inputs),
    }
    losses = {
        "cls": "sparse_categorical_crossentropy",
        "raw": keras.losses.CategoricalCrossentropy(from_logits=True),
        "any": "categorical_crossentropy",
        "val": "mse",
    }
    if nested is list:
        outputs, losses = list(outputs.values()), list(losses.values())  # type: ignore[assignment]
    model = keras.Model(inputs, outputs)
    model.compile("sgd", losses)
    assert {key: told(model, key) for key in ("cls", "raw", "any")} == {
        "cls": False,
        "raw": True,
        "any": False,
    }
    with pytest.raises(DistEvalError, match="no cross-entropy"):
        told(model, "val")
    with pytest.raises(DistEvalError, match="output_key= does not name the one evaluated"):
        told(model)


def test_keras_tells_the_layer_of_an_output() -> None:
    """`_keras_history` is private: this fails when it goes."""
    for keras in (tf.keras, tf_keras):
        layer = keras.layers.Dense(2)
        tensor = layer(keras.Input((3,)))
        assert tuple(tensor._keras_history) == (layer, 0, 0)
