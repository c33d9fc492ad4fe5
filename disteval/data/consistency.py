"""Whether the validation data comes in one order: at each pass, and on each rank."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from disteval.data.sharded import ShardedSource
from disteval.data.sharding import WHOLE, Shard
from disteval.data.sources import ArraySource, FunctionSource, Source
from disteval.errors import DataOrderError

# How many batches two passes read together, and which part of all batches, unless that is less
# than one batch in each pass. Any of them shows a shuffled dataset, and decoding may be expensive.
MAX_BATCHES = 8
MAX_PART = 0.02
# How many rows of an array, and how many elements of `disteval.sharded`, are compared.
COMPARED_ROWS = 64
COMPARED_ELEMENTS = 512


def check_passes(source: Source, rank: int, size: int) -> str | None:
    """Compares two passes over the data.

    Returns:
        A digest of the data, equal on all ranks that read the same data in the same order; `None`
        for function sources, of which each rank reads other data.

    Raises:
        DataOrderError: The passes differ.
    """
    if isinstance(source, ArraySource):
        return _digest_rows(source)
    if isinstance(source, ShardedSource):
        return _check_sharded(source)
    own = isinstance(source, FunctionSource)
    passes = [_digest(source, Shard(rank, size) if own else WHOLE) for _ in range(2)]
    if passes[0] != passes[1]:
        raise _order_error("validation_data comes", _shuffled_by(source))
    return None if own else passes[0]


def _check_sharded(source: ShardedSource) -> str:
    """Compares two passes over the first elements, and over what the pipeline makes of a few."""
    passes = [_digest_elements(source) for _ in range(2)]
    if passes[0] != passes[1]:
        raise _order_error(
            "`elements` of disteval.sharded come",
            "Most likely they come from `tf.data.Dataset.list_files`, which shuffles by default: "
            "use shuffle=False. Else there is a `dataset.shuffle(...)` in them: remove it.",
        )
    batches = [hashlib.blake2b(), hashlib.blake2b()]
    _update(batches[0], source.first())
    _update(batches[1], source.first_of_all())
    if batches[0].digest() != batches[1].digest():
        raise _order_error(
            "What `pipeline` of disteval.sharded makes of the first elements comes",
            "Most likely it augments at random, or a function in it reads other elements.",
        )
    return passes[0]


def _order_error(what: str, advice: str) -> DataOrderError:
    return DataOrderError(
        f"{what} in another order, or with other values, at each pass. Expected: the same samples "
        f"in the same order, so that row i of both tables is one sample. {advice}"
    )


def _shuffled_by(source: Source) -> str:
    """Returns in words what most likely shuffles the data, and what to do."""
    # Keras sets this attribute, which the transformations of tf.data do not keep.
    if hasattr(getattr(source, "dataset", None), "file_paths"):
        return (
            "It comes from a function like `keras.utils.image_dataset_from_directory`, which "
            'shuffles by default: call it with shuffle=False, or with subset="both", which '
            "shuffles the training data only."
        )
    return (
        "Most likely there is a `dataset.shuffle(...)` in it: remove it, or use shuffle(..., "
        "seed=..., reshuffle_each_iteration=False). If it comes from a function like "
        "`keras.utils.image_dataset_from_directory`, call that with shuffle=False, or with "
        'subset="both". Random augmentation has the same effect.'
    )


def check_ranks(digests: Sequence[str | None]) -> None:
    """Compares what `check_passes` returned on each rank, in rank order.

    Raises:
        DataOrderError: The ranks differ.
    """
    different = [rank for rank, digest in enumerate(digests) if digest != digests[0]]
    if different:
        raise DataOrderError(
            f"validation_data differs between rank 0 and ranks {different}, in its values or in "
            "their order. Expected: the same on every rank, so that the shards cover each sample "
            "once. Most likely each rank shuffles it with another seed (`dataset.shuffle(...)`, "
            "`np.random.permutation`, or a function like `image_dataset_from_directory` without "
            "shuffle=False), finds files in another order (sort them), or reads a part of its own: "
            "give every rank all of it, or a function fn(shard_index, num_shards)."
        )


def check_extents(extents: Sequence[str | None]) -> None:
    """Compares `Source.extent` of each rank, in rank order.

    Where ranks take turns, a batch that only one rank has may be the turn of another. Then nobody
    evaluates it, and the batches that were evaluated still cover each sample once.

    Raises:
        DataOrderError: They differ.
    """
    different = [rank for rank, extent in enumerate(extents) if extent != extents[0]]
    if different:
        raise DataOrderError(
            f"validation_data has {extents[0]} on rank 0 and {extents[different[0]]} on ranks "
            f"{different}. Expected: the same on every rank, so that the shards cover each sample "
            "once. Most likely a rank finds other files, or a generator ends sooner there."
        )


def check_length(num_samples: int, expected: int | None, step: str) -> None:
    """Compares the number of samples with that of the last evaluation, on every rank alike.

    Raises:
        DataOrderError: They differ.
    """
    if expected is not None and num_samples != expected:
        raise DataOrderError(
            f"validation_data has {num_samples} samples in {step}, and had {expected} before. "
            "Expected: the same number at each pass, so that the tables compare."
        )


def _digest(source: Source, shard: Shard) -> str:
    digest = hashlib.blake2b(digest_size=16)
    count = MAX_BATCHES
    if (num_batches := source.num_batches()) is not None:
        count = min(count, int(MAX_PART * num_batches))
    for index, batch in itertools.islice(source.batches(shard), max(count // 2, 1)):
        digest.update(repr(np.asarray(index).tolist()).encode())
        _update(digest, batch)
    return digest.hexdigest()


def _digest_rows(source: ArraySource) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for i in np.unique(np.linspace(0, source.num_samples - 1, COMPARED_ROWS, dtype=np.int64)):
        _update(digest, source.rows(i, i + 1))
    digest.update(str(source.num_samples).encode())
    return digest.hexdigest()


def _digest_elements(source: ShardedSource) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for element in source.data.elements.take(min(COMPARED_ELEMENTS, source.num_samples)):
        _update(digest, element)
    digest.update(str(source.num_samples).encode())
    return digest.hexdigest()


def _update(digest: Any, batch: Any) -> None:
    for leaf in tf.nest.flatten(batch, expand_composites=True):
        array = np.asarray(leaf)
        digest.update(repr((array.shape, array.dtype.name)).encode())
        digest.update(repr(array.tolist()).encode() if array.dtype == object else array.tobytes())
