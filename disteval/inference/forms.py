"""The form of a batch: which inputs one trace covers."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from disteval.errors import DataError


def any_rows(shape: tf.TensorShape) -> tf.TensorShape:
    """Returns the shape of a component with any number of rows."""
    return tf.TensorShape([None]).concatenate(shape[1:]) if shape.rank else shape


def sliced(batch: Any, start: Any, stop: Any) -> Any:
    return tf.nest.map_structure(lambda tensor: tensor[start:stop], batch)


def spec_of(batch: Any) -> Any:
    """Returns the form of a batch of any number of rows."""

    def spec(tensor: Any) -> Any:
        if isinstance(tensor, tf.RaggedTensor):
            return tf.RaggedTensorSpec(
                [None, *tensor.shape[1:]], tensor.dtype, tensor.ragged_rank, tensor.row_splits.dtype
            )
        return tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype)

    return tf.nest.map_structure(spec, batch)


def fits(known: Any, spec: Any) -> bool:
    try:
        tf.nest.assert_same_structure(known, spec)
    except (TypeError, ValueError):
        return False
    return all(
        a.is_compatible_with(b) and b.is_subtype_of(a)
        for a, b in zip(tf.nest.flatten(known), tf.nest.flatten(spec), strict=True)
    )


def generalized(known: Any, spec: Any) -> Any:
    """Returns the form that covers both, or `spec` if there is none."""
    try:
        merged = tf.nest.map_structure(
            lambda a, b: a.most_specific_common_supertype([b]), known, spec
        )
    except (TypeError, ValueError):
        return spec
    return spec if None in tf.nest.flatten(merged) else merged


def shapes_differ(received: str) -> DataError:
    """Returns the error for an output whose rows cannot be joined over batches."""
    return DataError(
        f"The rows of one output differ in shape between batches. Received: {received}. Expected: "
        "the same shape in all batches, or a tf.RaggedTensor; convert the output in `postprocess`."
    )


def array_of(part: tf.Tensor, count: tf.Tensor) -> tf.TensorArray:
    """Returns an array for `count` tensors like `part`, each with any number of rows."""
    dtype, shape = array_dtype(part.dtype), any_rows(part.shape)
    return tf.TensorArray(dtype, count, infer_shape=False, element_shape=shape)


def array_dtype(dtype: tf.DType, on_gpu: bool | None = None) -> tf.DType:
    """Returns the dtype in which a `TensorArray` holds values of a dtype.

    On GPUs, it cannot hold narrow and unsigned integers: such an array would be on the host, and
    each turn of a loop would copy all of it from there and back.

    Args:
        dtype: The dtype of the values.
        on_gpu: Whether the array is on a GPU; by default, whether there is one.
    """
    if on_gpu is None:
        on_gpu = bool(tf.config.list_logical_devices("GPU"))
    if not on_gpu or not dtype.is_integer:
        return dtype
    return tf.int64 if dtype.size == 8 or dtype == tf.uint32 else tf.int32
