"""Tells the user if an evaluation waits for its input most of the time, and what changes that."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Sequence

import tensorflow as tf

from disteval.data.sources import DatasetSource, Source

logger = logging.getLogger("disteval")

# Which part of the time of an evaluation may be spent on waiting, on the rank that waits longest.
MAX_PART = 0.6
# Shorter evaluations are no burden, and most of their wait is for the first batch.
MIN_SECONDS = 1.0

_warned: weakref.WeakSet[tf.data.Dataset] = weakref.WeakSet()


def warn(source: Source, input_seconds: Sequence[float], seconds: float) -> None:
    """Warns once for each dataset of which each rank reads all, if that takes long.

    Args:
        source: The data.
        input_seconds: How long each rank waited for input.
        seconds: How long the inference took.
    """
    waited, ranks = max(input_seconds), len(input_seconds)
    if not isinstance(source, DatasetSource) or ranks == 1 or source.dataset in _warned:
        return
    if seconds >= MIN_SECONDS and waited > MAX_PART * seconds:
        _warned.add(source.dataset)
        logger.warning(
            "The evaluation waited for its input %.3g of %.3g s, since each of %d ranks reads all "
            "of validation_data. To read only the part of the rank, move what is expensive into a "
            "pipeline:\n"
            "    elements = tf.data.Dataset.from_tensor_slices((file_names, labels))\n"
            "    validation_data = disteval.sharded(elements, lambda d: d.map(decode).batch(32))",
            waited, seconds, ranks
        )  # fmt: skip
