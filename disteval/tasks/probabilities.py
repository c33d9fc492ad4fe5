"""Reads outputs and labels of a model: one tensor each, logits or probabilities."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from disteval.errors import DataError, DistEvalError


def single_output(outputs: Any) -> Any:
    """Returns the only output of a model, as float32.

    Raises:
        DataError: The model has several outputs.
    """
    flat = tf.nest.flatten(outputs)
    if len(flat) != 1:
        raise DataError(
            f"This evaluator reads one output. Received: a model with {len(flat)} outputs. "
            "Expected: one output; choose it in a subclass, `def postprocess(self, outputs, "
            "batch): return super().postprocess(outputs[...], batch)`."
        )
    return tf.cast(flat[0], tf.float32)


def labels_of(batch: Any) -> Any:
    """Returns y of a batch `(x, y)` or `(x, y, sample_weight)`.

    Raises:
        DataError: The batch has no y.
    """
    if not isinstance(batch, tuple) or len(batch) < 2:
        raise DataError("`validation_data` has no labels. Received: x alone. Expected: (x, y).")
    return batch[1]


def numbers_of(batch: Any) -> Any:
    """Returns y of a batch as one tensor of numbers.

    Raises:
        DataError: y is missing, a nest, ragged, or not numeric.
    """
    labels = labels_of(batch)
    if not isinstance(labels, tf.Tensor) or not (labels.dtype.is_bool or labels.dtype.is_numeric):
        given = labels.dtype.name if isinstance(labels, tf.Tensor) else type(labels).__name__
        raise DataError(
            f"Labels are not numeric. Received: labels of type {given}. Expected: a numeric tensor."
        )
    return labels


def returns_logits(model: Any, from_logits: bool | str) -> bool:
    """Returns whether the outputs of a model are logits.

    Args:
        model: The Keras model.
        from_logits: `True` or `False`. With `"auto"`, the activation of the model's last layer
            decides; if it is not conclusive, the loss does.

    Raises:
        DistEvalError: Neither the last layer nor the loss is conclusive.
    """
    if from_logits != "auto":
        return bool(from_logits)
    activation = _last_activation(model)
    if activation in ("softmax", "sigmoid"):
        return False
    by_loss = _logits_by_loss(model)
    if by_loss is not None:
        return by_loss
    if activation == "linear":
        return True
    raise DistEvalError(
        "Neither the model's last layer nor its loss says whether it returns logits or "
        'probabilities. Received: from_logits="auto". Expected: from_logits=True or False.'
    )


def to_probabilities(outputs: Any, logits: bool, independent: bool = False) -> Any:
    """Returns the probability of each class.

    Args:
        outputs: float32 of shape `(..., classes)`. For two classes, the last dimension may be 1,
            for the second class.
        logits: Whether the outputs are logits.
        independent: Whether a sample may have several classes at once.

    Returns:
        float32 of shape `(..., classes)`, with at least 2 classes unless they are independent.
    """
    if outputs.shape[-1] > 1 and not independent:
        return tf.nn.softmax(outputs) if logits else outputs
    positive = tf.sigmoid(outputs) if logits else outputs
    return positive if independent else tf.concat([1 - positive, positive], axis=-1)


def _logits_by_loss(model: Any) -> bool | None:
    """Returns whether the compiled loss takes logits; `None` if it does not say."""
    losses = tf.nest.flatten(getattr(model, "loss", None))
    loss = losses[0] if len(losses) == 1 else None
    if isinstance(loss, tf.keras.losses.Loss):
        return loss.get_config().get("from_logits")
    # Keras' own losses take probabilities if they are given by name or as a function.
    is_keras = isinstance(loss, str) or "keras" in getattr(loss, "__module__", "").partition(".")[0]
    return False if is_keras and "crossentropy" in getattr(loss, "__name__", str(loss)) else None


def _last_activation(model: Any) -> str | None:
    layer = model
    while getattr(layer, "layers", None):
        layer = layer.layers[-1]
    if isinstance(layer, tf.keras.layers.Softmax):
        return "softmax"
    return getattr(getattr(layer, "activation", None), "__name__", None)
