"""What a pipeline of `disteval.sharded` does: which transformations of `tf.data` it consists of."""

from __future__ import annotations

import collections
import re
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from disteval.errors import DataError, DataOrderError

Pipeline = Callable[[tf.data.Dataset], tf.data.Dataset]

# These give one sample for each element, in order.
KEEPING = frozenset(
    ["map", "batch", "padded_batch", "unbatch", "rebatch", "prefetch", "cache", "options"]
)
# These give samples in another order, whatever the elements are.
REORDERING = frozenset(
    ["shuffle", "shuffle_and_repeat", "group_by_window", "sample_from_datasets"]
    + [f"{name}(deterministic=False)" for name in ("map", "interleave", "batch")]
)
# With these, a sample is not made of its element alone: `enumerate` is a `zip`, and the ranks would
# share the files of the others.
DEPENDENT = frozenset(["zip", "scan", "snapshot", "cache(filename)"])


def applied(pipeline: Pipeline, elements: tf.data.Dataset) -> tf.data.Dataset:
    """Returns `pipeline(elements)`.

    Raises:
        DataError: The pipeline raised an error, or returned something else than a dataset.
    """
    try:
        dataset = pipeline(elements)
    except Exception as error:
        raise DataError(
            f"`pipeline` of disteval.sharded failed, with {type(error).__name__}: {error}. "
            "Expected: def pipeline(dataset), which returns a tf.data.Dataset. Received: a dataset "
            f"of {elements.element_spec}."
        ) from error
    if not isinstance(dataset, tf.data.Dataset):
        raise DataError(
            "`pipeline` of disteval.sharded did not return a dataset. Received: "
            f"{type(dataset).__name__}. Expected: a tf.data.Dataset, such as "
            "dataset.map(decode).batch(32)."
        )
    return dataset


def check(names: list[str]) -> None:
    """Raises unless the transformations of a pipeline keep elements in order and apart.

    Raises:
        DataOrderError: They give the samples in another order.
        DataError: They make a sample of more than its own element.
    """
    if reordering := [name for name in names if name in REORDERING]:
        raise DataOrderError(
            "`pipeline` of disteval.sharded gives its samples in another order than that of the "
            f"elements. Received: a pipeline with {_listed(reordering)}. Expected: one without, so "
            "that sample i is made of element i."
        )
    if dependent := [name for name in names if name in DEPENDENT]:
        raise DataError(
            "`pipeline` of disteval.sharded makes a sample of more than its own element, of which "
            "each rank has others. Received: a pipeline with "
            f"{_listed(dependent)}. Expected: `zip` and `enumerate` applied to `elements` before, "
            "and `cache()` without a file."
        )


def transformations(pipeline: Pipeline, element: Any) -> list[str]:
    """Returns the names of the transformations in a pipeline, without reading any data.

    Args:
        pipeline: The pipeline.
        element: A nest of tensors, such as the pipeline gets.

    Returns:
        Names of methods of `tf.data.Dataset`, such as `["map", "batch"]`; `[]` if TensorFlow
        cannot tell.
    """
    # A dataset of a single element, as all elements would become a part of the graph.
    single = tf.data.Dataset.from_tensors(element)
    try:
        names = collections.Counter(_names(applied(pipeline, single)))
    except tf.errors.OpError:
        return []
    names.subtract(_names(single))
    return [name for name, count in names.items() if count > 0]


def suspects(names: list[str]) -> str:
    """Returns in words which transformations may drop or add samples; empty if none may."""
    found = [name for name in names if name not in KEEPING]
    return f" The pipeline contains {_listed(found)}." if found else ""


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _names(dataset: tf.data.Dataset) -> list[str]:
    """Returns the names of the transformations that a dataset consists of, in order."""
    variant = tf.data.experimental.to_variant(dataset)
    # A generator or a Python function cannot be written into a graph; ignored, since it need not.
    ignored = 1
    graph = tf.raw_ops.DatasetToGraphV2(input_dataset=variant, external_state_policy=ignored)
    nodes = tf.compat.v1.GraphDef.FromString(graph.numpy()).node
    files = {node.name for node in nodes if node.op == "Const" and _is_text(node)}
    return [_name(node, files) for node in nodes if "Dataset" in node.op]


def _is_text(node: Any) -> bool:
    """Whether a constant is a text that is not empty."""
    return any(node.attr["value"].tensor.string_val)


def _name(node: Any, files: set[str]) -> str:
    """Returns the method that adds an operation: "flat_map" for "FlatMapDataset"."""
    kind = re.sub(r"^Parallel|Dataset(V\d+)?$", "", node.op)
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind).lower()
    if node.attr["deterministic"].s == b"false":
        name += "(deterministic=False)"
    if name == "cache" and files.intersection(node.input):
        name += "(filename)"
    return {"directed_interleave": "sample_from_datasets"}.get(name, name)
