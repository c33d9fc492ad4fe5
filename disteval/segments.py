"""Segments: consecutive batches that one replica evaluates in one call."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Segment:
    """Consecutive batches that one replica evaluates in one call.

    Attributes:
        index: int64 of shape `(rows,)`: which sample of the data each row is.
        batch: Nest of arrays or tensors of shape `(rows, ...)`, as `model.predict_step` takes it.
        splits: int64 of shape `(batches + 1,)`: batch i is rows `splits[i]` to `splits[i + 1]`.
    """

    index: np.ndarray
    batch: Any
    splits: np.ndarray


def shard_bounds(num_samples: int, shard_index: int, num_shards: int) -> tuple[int, int]:
    """Returns the first and last + 1 of the contiguous samples that a shard holds.

    Shards differ by one sample at most, the larger ones come first, and together they cover each
    of `num_samples` once.
    """
    size, larger = divmod(num_samples, num_shards)
    start = shard_index * size + min(shard_index, larger)
    return start, start + size + (shard_index < larger)


def num_rows(batch: Any) -> int:
    """Returns the number of samples of a batch."""
    leaf = tf.nest.flatten(batch)[0]
    return int(leaf.nrows()) if isinstance(leaf, tf.RaggedTensor) else len(leaf)


def num_bytes(batch: Any) -> int:
    """Returns the bytes of a batch."""
    leaves = tf.nest.flatten(batch, expand_composites=True)
    return sum(np.prod(leaf.shape) * leaf.dtype.size if isinstance(leaf, tf.Tensor) else leaf.nbytes
               for leaf in leaves)  # fmt: skip


def same_shapes(batches: Sequence[tuple[Any, Any]]) -> Iterator[list[tuple[Any, Any]]]:
    """Yields runs of consecutive batches that can be joined, row for row."""
    for _, run in itertools.groupby(batches, key=lambda item: _inner_shapes(item[1])):
        yield list(run)


def _inner_shapes(batch: Any) -> list[Any]:
    return [
        (leaf.ragged_rank if isinstance(leaf, tf.RaggedTensor) else 0, tuple(leaf.shape[1:]))
        for leaf in tf.nest.flatten(batch)
    ]


def join(batches: Sequence[tuple[int | np.ndarray, Any]]) -> Segment:
    """Returns batches, each with the number of its first sample or of all, as one segment."""
    rows = [num_rows(batch) for _, batch in batches]
    index = [
        first if isinstance(first, np.ndarray) else np.arange(first, first + count)
        for (first, _), count in zip(batches, rows, strict=True)
    ]
    joined = batches[0][1]
    if len(batches) > 1:
        nests = [batch for _, batch in batches]
        joined = tf.nest.map_structure(lambda *leaves: tf.concat(leaves, axis=0), *nests)
    return Segment(np.concatenate(index), joined, np.cumsum([0, *rows]))
