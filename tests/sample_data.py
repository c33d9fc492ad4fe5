"""Validation data of the kinds that users write themselves, from arrays."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf


class Batches(tf.keras.utils.Sequence):
    """Batches of a nest of arrays.

    Args:
        arrays: The nest, such as `(x, y)`.
        sizes: How many samples each batch has; a number is that of each batch but the last.
    """

    def __init__(self, arrays: Any, sizes: int | Sequence[int]) -> None:
        super().__init__()
        self.arrays = arrays
        if isinstance(sizes, int):
            count = len(tf.nest.flatten(arrays)[0])
            sizes = [min(sizes, count - start) for start in range(0, count, sizes)]
        self.ends = list(itertools.accumulate(sizes, initial=0))

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, i: int) -> Any:
        rows = slice(self.ends[i], self.ends[i + 1])
        return tf.nest.map_structure(lambda array: array[rows], self.arrays)


def striped(arrays: Any) -> Callable[[int, int], tf.data.Dataset]:
    """Returns a function source: of n shards, shard i has samples i, i + n, i + 2n and so on."""

    def shards(index: int, count: int) -> tf.data.Dataset:
        numbers = np.arange(index, len(tf.nest.flatten(arrays)[0]), count)
        samples = tf.nest.map_structure(lambda array: array[numbers], arrays)
        return tf.data.Dataset.from_tensor_slices((numbers, samples))

    return shards
