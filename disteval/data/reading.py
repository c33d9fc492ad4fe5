"""Reads a `tf.data.Dataset`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import tensorflow as tf


def in_order(dataset: tf.data.Dataset) -> Iterator[Any]:
    """Yields the elements of a dataset, read ahead, in an order that does not depend on timing."""
    options = tf.data.Options()
    options.deterministic = True
    held = [iter(dataset.with_options(options).prefetch(tf.data.AUTOTUNE))]
    try:
        yield from held[0]
    finally:
        # The end of an iterator sometimes waits for TensorFlow's autotuning, which may take as
        # long as all of the reading did. The last element must not wait for that.
        threading.Thread(target=held.clear, name="disteval-input-end", daemon=True).start()
