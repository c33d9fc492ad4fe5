"""From what users pass as validation data to a `Source`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from disteval.arguments import check_callable
from disteval.data.arrays import as_arrays, check_complex, inputs_of
from disteval.data.batches import split_element
from disteval.data.py_dataset import PyDatasetSource
from disteval.data.sharded import Sharded, ShardedSource
from disteval.data.sources import (
    EXPECTED,
    ArraySource,
    DatasetSource,
    FunctionSource,
    Source,
)
from disteval.errors import DataError


def as_source(
    data: Any, *, batch_size: int | None = None, num_samples: int | None = None, model: Any = None
) -> Source:
    """Returns validation data of any kind as a `Source`.

    Args:
        data: See `DistEvalCallback`. `x` alone may be an array, too.
        batch_size: Samples of a batch on one replica, 32 by default. Batched data keeps its own.
        num_samples: Limits the data to the first so many samples.
        model: The Keras model, whose input tells whether a dataset is batched.

    Raises:
        DataError: The data cannot be evaluated.
    """
    # As Python integers, since those of NumPy may overflow.
    batch_size = 32 if batch_size is None else int(batch_size)
    num_samples = None if num_samples is None else int(num_samples)
    if isinstance(data, tf.data.Dataset):
        _check_kinds(data.element_spec, model)
        batched = is_batched(data.element_spec, model)
        return DatasetSource(data, batched, batch_size, num_samples)
    if isinstance(data, Sharded):
        return _as_sharded_source(data, batch_size, num_samples, model)
    if isinstance(data, _py_dataset_classes()):
        return PyDatasetSource(data, num_samples)
    if callable(data) and not isinstance(data, type):
        check_callable("validation_data", data, "shard_index", "num_shards", error=DataError)
        return FunctionSource(data, batch_size, num_samples)
    if isinstance(data, Iterator | str | bytes) or data is None:
        raise DataError(
            "validation_data cannot be read again and again, by its position. Received: "
            f"validation_data of {type(data).__name__}. {EXPECTED}"
        )
    arrays = as_arrays(_with_targets(data, model))
    for leaf in tf.nest.flatten(arrays):
        if isinstance(leaf, np.ndarray | tf.Tensor):
            check_complex(leaf.dtype, model)
    return ArraySource(arrays, batch_size, num_samples)


def _as_sharded_source(
    data: Sharded, batch_size: int, num_samples: int | None, model: Any
) -> ShardedSource:
    check_callable("pipeline", data.pipeline, "dataset", error=DataError)
    if data.count == 0:
        raise DataError(
            "`elements` of disteval.sharded are empty. Expected: at least one element. If they are "
            "files, most likely no file matches the pattern."
        )
    if data.count is None and num_samples is None:
        raise DataError(
            "`elements` of disteval.sharded are an infinite tf.data.Dataset. Expected: a finite "
            "one; remove `.repeat()`, or set num_samples."
        )
    _check_kinds(data.element_spec, model)
    return ShardedSource(data, is_batched(data.element_spec, model), batch_size, num_samples)


def _check_kinds(element_spec: Any, model: Any) -> None:
    for spec in tf.nest.flatten(element_spec):
        if not isinstance(spec, tf.TensorSpec | tf.RaggedTensorSpec):
            raise DataError(
                "The elements of a dataset are not all dense or ragged tensors. Received: a "
                f"tf.data.Dataset with {spec} in its elements. Expected: dense or ragged tensors; "
                "use `dataset.map(...)`, for instance with tf.sparse.to_dense."
            )
        check_complex(spec.dtype, model)


def is_batched(element_spec: Any, model: Any = None) -> bool:
    """Tells from the shapes of its elements whether a dataset is batched.

    The rank of the model's input decides, if the model knows it, unless Keras would append a last
    dimension of 1. Otherwise, elements count as single samples if one of their tensors is a scalar
    or if their first dimensions differ.
    """
    inputs = inputs_of(model)
    x = [spec.shape for spec in tf.nest.flatten(split_element(element_spec)[0])]
    if len(inputs) == len(x) and all(shape.rank is not None for shape in x):
        pairs = [(shape, tensor.shape) for shape, tensor in zip(x, inputs, strict=True)]
        if all(len(given) == len(expected) for given, expected in pairs):
            return True
        # For example, Keras turns a batch of strings of shape (20,) into one of shape (20, 1).
        appended = any(
            expected[-1] == 1 and given[-1:].as_list() != [1] for given, expected in pairs
        )
        if not appended and all(len(given) == len(expected) - 1 for given, expected in pairs):
            return False
    shapes = [spec.shape for spec in tf.nest.flatten(element_spec)]
    if any(shape.rank == 0 for shape in shapes):
        return False
    return len({shape[0] for shape in shapes if shape.rank} - {None}) <= 1


def _with_targets(data: Any, model: Any) -> tuple[Any, ...]:
    """Returns data as `(x,)`, `(x, y)` or `(x, y, sample_weight)`."""
    if isinstance(data, tuple) and len(data) > 3:
        raise DataError(
            f"validation_data has too many parts. Received: a tuple of {len(data)}. Expected: (x, "
            "y) or (x, y, sample_weight); several inputs or targets are a list or a dict in it."
        )
    inputs = inputs_of(model)
    if isinstance(data, list) and data and inputs and len(tf.nest.flatten(data)) != len(inputs):
        raise DataError(
            "A list is x with several inputs. Received: validation_data as a list of "
            f"{len(data)} for a model with {len(inputs)} inputs. Expected: a tuple (x, y)."
        )
    return data if isinstance(data, tuple) and data else (data,)


def _py_dataset_classes() -> tuple[type, ...]:
    # Keras 2 has only `Sequence`; in Keras 3 it is another name of `PyDataset`.
    utils = tf.keras.utils
    return tuple({getattr(utils, n) for n in ("PyDataset", "Sequence") if hasattr(utils, n)})
