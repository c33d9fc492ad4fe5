"""`disteval.sharded` data of many kinds of elements and pipelines, which give the same `(x, y)`."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

import disteval

Dataset = tf.data.Dataset

# From x (float32, rank 2) and y to elements.
ELEMENTS: dict[str, Callable[[np.ndarray, np.ndarray], Any]] = {
    "arrays": lambda x, y: (x, y),
    "dict": lambda x, y: {"x": x, "y": y},
    "dataset": lambda x, y: Dataset.from_tensor_slices((x, y)),
    "unknown length": lambda x, y: Dataset.from_tensor_slices((x, y)).filter(lambda *e: True),
    "text": lambda x, y: (tf.strings.as_string(x), y),
    "ragged": lambda x, y: (tf.RaggedTensor.from_tensor(x), y),
}


def decoded(*element: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns `(x, y)` of any of these elements."""
    x, y = (element[0]["x"], element[0]["y"]) if isinstance(element[0], dict) else element
    if isinstance(x, tf.RaggedTensor):
        x = x.to_tensor()
    return tf.strings.to_number(x) if x.dtype == tf.string else x, y


# From elements and the size of batches to samples.
PIPELINES: dict[str, Callable[[Dataset, int], Dataset]] = {
    "map": lambda d, size: d.map(decoded),
    "parallel map, batch": lambda d, size: d.map(decoded, num_parallel_calls=4).batch(size),
    "padded_batch": lambda d, size: d.map(decoded).padded_batch(size).prefetch(2),
    "batch, map": lambda d, size: d.map(decoded).batch(size).map(lambda x, y: (x * 1, y)),
    "batch, unbatch": lambda d, size: d.map(decoded).batch(size + 1).unbatch(),
    "cache, batch": lambda d, size: d.map(decoded).cache().batch(size, num_parallel_calls=2),
}
NAMES = [
    f"{elements} > {pipeline}" for elements, pipeline in itertools.product(ELEMENTS, PIPELINES)
]


def made(name: str, x: np.ndarray, y: np.ndarray, size: int) -> Any:
    """Returns the data of one of `NAMES`, which are `(x, y)` in batches of `size`."""
    elements, pipeline = name.split(" > ")
    return disteval.sharded(ELEMENTS[elements](x, y), lambda d: PIPELINES[pipeline](d, size))
