"""Labels of a batch, and outputs as probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from disteval.errors import DataError
from disteval.tasks.selection import only_leaf


def labels_of(batch: Any) -> Any:
    """Returns y of a batch `(x, y)` or `(x, y, sample_weight)`.

    Raises:
        DataError: The batch has no y.
    """
    if not isinstance(batch, tuple) or len(batch) < 2:
        raise DataError("`validation_data` has no labels. Received: x alone. Expected: (x, y).")
    return batch[1]


def numbers_of(labels: Any) -> Any:
    """Returns the labels of a batch as one tensor of numbers.

    Raises:
        DataError: There are several tensors, or they are ragged or not numeric.
    """
    labels = only_leaf(labels, "targets")
    if not isinstance(labels, tf.Tensor) or not (labels.dtype.is_bool or labels.dtype.is_numeric):
        given = labels.dtype.name if isinstance(labels, tf.Tensor) else type(labels).__name__
        raise DataError(
            f"Labels are not numeric. Received: labels of type {given}. Expected: a numeric tensor."
        )
    return labels


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


def pack_bits(flags: Any) -> Any:
    """Packs bool of shape `(batch, n)` into uint8 of shape `(batch, n / 8)`, the low bit first."""
    padded = tf.pad(flags, [[0, 0], [0, -flags.shape[-1] % 8]])
    bits = tf.reshape(tf.cast(padded, tf.int32), [-1, padded.shape[-1] // 8, 8])
    return tf.cast(tf.reduce_sum(bits * 2 ** tf.range(8), axis=-1), tf.uint8)


def unpack_bits(packed: np.ndarray, count: int) -> np.ndarray:
    """Returns the bool of shape `(samples, count)` that `pack_bits` has packed."""
    return np.unpackbits(packed, axis=1, bitorder="little")[:, :count].astype(bool)
