"""Reading what a classifier returns: logits or probabilities, of two classes or more."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from disteval.errors import DataError, DistEvalError


def single_output(outputs: Any) -> Any:
    """Returns the only output of a model, as float32.

    Raises:
        DataError: There are several.
    """
    flat = tf.nest.flatten(outputs)
    if len(flat) != 1:
        raise DataError(
            f"Received: a model with {len(flat)} outputs. Expected: one; choose it in a subclass, "
            "`def postprocess(self, outputs, batch): return super().postprocess(outputs[...], "
            "batch)`."
        )
    return tf.cast(flat[0], tf.float32)


def labels_of(batch: Any) -> Any:
    """Returns y of a batch `(x, y)` or `(x, y, sample_weight)`.

    Raises:
        DataError: There is none.
    """
    if not isinstance(batch, tuple) or len(batch) < 2:
        raise DataError("Received: validation_data without labels. Expected: (x, y).")
    return batch[1]


def numbers_of(batch: Any) -> Any:
    """Returns y of a batch as one tensor of numbers.

    Raises:
        DataError: It is something else.
    """
    labels = labels_of(batch)
    if not isinstance(labels, tf.Tensor) or not (labels.dtype.is_bool or labels.dtype.is_numeric):
        given = labels.dtype.name if isinstance(labels, tf.Tensor) else type(labels).__name__
        raise DataError(f"Received: labels of type {given}. Expected: one tensor of numbers.")
    return labels


def check_from_logits(from_logits: Any) -> None:
    """Raises a `DistEvalError` if it is not `True`, `False` or `"auto"`."""
    if from_logits not in (True, False, "auto"):
        raise DistEvalError(
            f'Received: from_logits={from_logits!r}. Expected: True, False or "auto".'
        )


def returns_logits(model: Any, from_logits: bool | str) -> bool:
    """Returns whether the outputs of a model are logits.

    Args:
        model: The Keras model. What its last layer says decides, and else what its loss says.
        from_logits: `True` or `False`; `"auto"` asks the model.

    Raises:
        DistEvalError: The model does not tell.
    """
    if from_logits != "auto":
        return bool(from_logits)
    activation = _last_activation(model)
    if activation in ("softmax", "sigmoid"):
        return False
    told = _told_by_loss(model)
    if told is not None:
        return told
    if activation == "linear":
        return True
    raise DistEvalError(
        'Received: from_logits="auto" for a model that does not tell, by its last layer or its '
        "loss, whether it returns logits or probabilities. Expected: from_logits=True or False."
    )


def to_probabilities(outputs: Any, logits: bool, independent: bool = False) -> Any:
    """Returns the probability of each class.

    Args:
        outputs: float32 of shape `(..., classes)`; a last dimension of 1 is that of the second of
            two classes.
        logits: Whether the outputs are logits.
        independent: Whether several classes may hold at once.

    Returns:
        float32 of shape `(..., classes)`, with 2 classes at least unless they are independent.
    """
    if outputs.shape[-1] > 1 and not independent:
        return tf.nn.softmax(outputs) if logits else outputs
    positive = tf.sigmoid(outputs) if logits else outputs
    return positive if independent else tf.concat([1 - positive, positive], axis=-1)


def _told_by_loss(model: Any) -> bool | None:
    losses = tf.nest.flatten(getattr(model, "loss", None))
    loss = losses[0] if len(losses) == 1 else None
    if isinstance(loss, tf.keras.losses.Loss):
        return loss.get_config().get("from_logits")
    # Keras takes probabilities, given one of its own losses by name or as a function.
    own = isinstance(loss, str) or "keras" in getattr(loss, "__module__", "").partition(".")[0]
    return False if own and "crossentropy" in getattr(loss, "__name__", str(loss)) else None


def _last_activation(model: Any) -> str | None:
    layer = model
    while getattr(layer, "layers", None):
        layer = layer.layers[-1]
    if isinstance(layer, tf.keras.layers.Softmax):
        return "softmax"
    return getattr(getattr(layer, "activation", None), "__name__", None)
