"""Whether an output of a model is logits or probabilities."""

from __future__ import annotations

import functools
from typing import Any

import tensorflow as tf

from disteval.errors import DistEvalError
from disteval.inference.steps import is_keras_method, is_keras_own
from disteval.tasks.selection import Selection, leaves

# What an output is, or what a loss expects it to be.
LOGITS, PROBABILITIES, LINEAR, OTHER = "logits", "probabilities", "linear", "other"

# Functions whose results are probabilities: activations, layers and operations of Keras, and
# `tf.nn.softmax`.
NAMES = ("softmax", "softmax_v2", "sigmoid", "hard_sigmoid")


def returns_logits(model: Any, from_logits: bool | str, selection: Selection) -> bool:
    """Returns whether an output of a model is logits.

    Args:
        model: The Keras model.
        from_logits: `True` or `False`. With `"auto"`, the layer that makes the output and the loss
            that was compiled for it decide.
        selection: The output that is evaluated.

    Raises:
        DistEvalError: Neither the layer nor the loss is conclusive, or they contradict each other.
    """
    if from_logits != "auto":
        return bool(from_logits)
    if not is_keras_method(model, "predict_step"):
        raise _unknown("its own predict_step may return either")
    symbolic = _symbolic_outputs(model)
    outputs = leaves(selection.output(symbolic, model)) if symbolic is not None else {(): None}
    activations = {_activation(tensor) for tensor in outputs.values()}
    if activations == {PROBABILITIES}:
        return False
    losses = list(leaves(selection.loss(getattr(model, "loss", None), model)).values())
    if len(outputs) > 1 or len(losses) > 1:
        raise _unknown("it has several outputs, and output_key= does not name the one evaluated")
    is_linear, expected = activations == {LINEAR}, _expected(next(iter(losses), None))
    if expected == OTHER:
        raise _unknown("its loss is no cross-entropy")
    if is_linear and expected == PROBABILITIES:
        raise _unknown("its last layer is linear, but its loss expects probabilities")
    if not is_linear and expected is None:
        raise _unknown("neither its last layer nor its loss says so")
    return expected != PROBABILITIES


def _unknown(reason: str) -> DistEvalError:
    return DistEvalError(
        f"It is not known whether the model returns logits or probabilities: {reason}. "
        'Received: from_logits="auto". Expected: from_logits=True or False.'
    )


def _symbolic_outputs(model: Any) -> Any:
    """Returns the nest of a functional model's outputs; `None` for any other model."""
    outputs = getattr(model, "outputs", None)
    if not outputs or not is_keras_method(model, "call"):
        return None
    return outputs[0] if len(outputs) == 1 else model.output


def _activation(tensor: Any) -> str | None:
    """Returns what the layer of a symbolic output makes; `None` if it does not say."""
    operation, index = _origin(tensor)
    if hasattr(operation, "layers"):  # a model in the model
        nested = getattr(operation, "outputs", None) if is_keras_method(operation, "call") else None
        return _activation(nested[index]) if nested else None
    if operation is None or not is_keras_own(type(operation)):
        return None  # what a class of the user's own computes is not known
    kind = type(operation).__name__
    activation = getattr(operation, "activation", None)
    name = getattr(activation, "__name__", kind.lower())
    if name in NAMES:
        return PROBABILITIES
    # An `Activation` that is linear only changes the dtype, of logits or of probabilities.
    return LINEAR if name == "linear" and kind != "Activation" else None


def _origin(tensor: Any) -> tuple[Any, int]:
    """Returns the layer or operation of a symbolic output, and the number of the output there."""
    # Keras has no public way from an output to its layer: the names of outputs need not be those
    # of layers, and the last layer need not make any output.
    operation, _, index = getattr(tensor, "_keras_history", (None, 0, 0))
    return operation, index


def _expected(loss: Any) -> str | None:
    """Returns what a loss expects: `LOGITS`, `PROBABILITIES` or `OTHER`; `None` if unknown."""
    if isinstance(loss, str):
        loss = tf.keras.losses.get(loss)
    keywords: dict[str, Any] = {}
    if isinstance(loss, functools.partial):
        loss, keywords = loss.func, loss.keywords
    if loss is None:
        return None
    if hasattr(loss, "get_config"):
        keywords = loss.get_config()
        known = "from_logits" in keywords or is_keras_own(type(loss))
        is_crossentropy = "from_logits" in keywords
    else:
        known = getattr(loss, "__module__", "").partition(".")[0] in ("keras", "tf_keras")
        is_crossentropy = "crossentropy" in getattr(loss, "__name__", "")
    if not known:
        return None
    if not is_crossentropy:
        return OTHER
    # Keras' own functions expect probabilities by default.
    return LOGITS if keywords.get("from_logits") else PROBABILITIES
