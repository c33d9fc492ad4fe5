"""How much there is to compute of samples, by which ranks share batches of unequal length.

Work is counted in values of the input: tokens, or characters of text. Images of one size have equal
work; for texts, most models compute about as long as there are tokens.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from disteval.data.batches import split_element


def work_of(batch: Any) -> int:
    """Returns the work of a batch; at least 1."""
    x, _ = split_element(batch)
    return int(_work(np.sum([_values(leaf) for leaf in tf.nest.flatten(x)], axis=0)))


def work_of_batches(arrays: Any, batch_size: int) -> np.ndarray | None:
    """Returns the work of each batch of nests of arrays; `None` if all samples are of one size.

    Returns:
        int64 of shape `(batches,)`.
    """
    x, _ = split_element(arrays)
    leaves = tf.nest.flatten(x)
    if not any(isinstance(leaf, tf.RaggedTensor) or _is_text(leaf) for leaf in leaves):
        return None
    values = np.sum([_values(leaf) for leaf in leaves], axis=0)
    return np.array([
        _work(values[start : start + batch_size]) for start in range(0, len(values), batch_size)
    ])  # fmt: skip


def _work(values: np.ndarray) -> int:
    # Most models compute a batch as if all of its samples were as long as the longest.
    return max(len(values) * int(values.max()), 1)


def _values(leaf: Any) -> np.ndarray:
    """Returns how many values each row of an array has; int64 of shape `(rows,)`."""
    if isinstance(leaf, tf.RaggedTensor):
        ends, *inner = (splits.numpy() for splits in leaf.nested_row_splits)
        for splits in inner:
            ends = splits[ends]
        return np.diff(ends)
    if not _is_text(leaf):
        return np.full(len(leaf), np.prod(leaf.shape[1:], dtype=np.int64))
    texts = np.asarray(leaf)
    lengths = np.fromiter(map(len, texts.reshape(-1)), np.int64, texts.size)
    return lengths.reshape(len(texts), -1).sum(axis=1)


def _is_text(leaf: Any) -> bool:
    if isinstance(leaf, tf.Tensor):
        return bool(leaf.dtype == tf.string)
    dtype = getattr(leaf, "dtype", None)  # a data frame has several
    return getattr(dtype, "kind", "") in tuple("OSU")
