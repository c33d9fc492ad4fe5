"""What users give as validation data, as a `Source`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from disteval.batches import split_element
from disteval.errors import DataError
from disteval.sources import (
    EXPECTED,
    ArraySource,
    DatasetSource,
    FunctionSource,
    PyDatasetSource,
    Source,
)


def as_source(
    data: Any, *, batch_size: int | None = None, num_samples: int | None = None, model: Any = None
) -> Source:
    """Returns validation data of any kind as a `Source`.

    Args:
        data: See `DistEvalCallback`; for arrays, `x` alone will do as well.
        batch_size: Samples of a batch on one replica, 32 by default. Batched data keeps its own.
        num_samples: Limits the data to the first so many samples.
        model: The Keras model, which helps to tell whether a dataset is batched.

    Raises:
        DataError: The data cannot be evaluated; the message says what it should be.
    """
    for name, value in [("batch_size", batch_size), ("num_samples", num_samples)]:
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if value is not None and (not whole or value < 1):
            raise DataError(f"Received: {name}={value!r}. Expected a positive integer or None.")
    batch_size = 32 if batch_size is None else batch_size
    if isinstance(data, Source):
        return data
    if isinstance(data, tf.data.Dataset):
        _check_kinds(data.element_spec)
        batched = is_batched(data.element_spec, model)
        return DatasetSource(data, batched, batch_size, num_samples)
    if isinstance(data, _py_dataset_classes()):
        return PyDatasetSource(data, num_samples)
    if callable(data) and not isinstance(data, type):
        return FunctionSource(data, batch_size, num_samples)
    if isinstance(data, Iterator | str | bytes) or data is None:
        raise DataError(f"Received: validation_data of {type(data).__name__}. {EXPECTED}")
    return ArraySource(_with_targets(data), batch_size, num_samples)


def _check_kinds(element_spec: Any) -> None:
    for spec in tf.nest.flatten(element_spec):
        if not isinstance(spec, tf.TensorSpec | tf.RaggedTensorSpec):
            raise DataError(
                f"Received: a tf.data.Dataset with {spec} in its elements. Expected: dense or "
                "ragged tensors; use `dataset.map(...)`, for instance with tf.sparse.to_dense."
            )


def is_batched(element_spec: Any, model: Any = None) -> bool:
    """Tells from the shapes of its elements whether a dataset is batched.

    Where the model knows the rank of its input, that decides, unless Keras would append a last
    dimension of 1. Otherwise, elements are taken for single samples if one of their tensors is a
    scalar or if their first dimensions differ.
    """
    inputs = tf.nest.flatten(getattr(model, "inputs", None) or [])
    x = [spec.shape for spec in tf.nest.flatten(split_element(element_spec)[0])]
    if len(inputs) == len(x) and all(shape.rank is not None for shape in x):
        pairs = [(shape, tensor.shape) for shape, tensor in zip(x, inputs, strict=True)]
        if all(len(given) == len(expected) for given, expected in pairs):
            return True
        # A batch of strings, say, of shape (20,) for a model that takes (None, 1).
        appended = any(
            expected[-1] == 1 and given[-1:].as_list() != [1] for given, expected in pairs
        )
        if not appended and all(len(given) == len(expected) - 1 for given, expected in pairs):
            return False
    shapes = [spec.shape for spec in tf.nest.flatten(element_spec)]
    if any(shape.rank == 0 for shape in shapes):
        return False
    return len({shape[0] for shape in shapes if shape.rank} - {None}) <= 1


def _with_targets(data: Any) -> tuple[Any, ...]:
    return data if isinstance(data, tuple) and 1 <= len(data) <= 3 else (data,)


def _py_dataset_classes() -> tuple[type, ...]:
    # Keras 2 knows `Sequence` only; in Keras 3 it is another name of `PyDataset`.
    utils = tf.keras.utils
    return tuple({getattr(utils, n) for n in ("PyDataset", "Sequence") if hasattr(utils, n)})
