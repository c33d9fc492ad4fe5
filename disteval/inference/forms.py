"""The form of a batch: which inputs one trace covers."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


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
