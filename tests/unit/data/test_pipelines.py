"""What a pipeline does is read from its graph, without any data."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from disteval.data.pipelines import (
    DEPENDENT,
    KEEPING,
    REORDERING,
    Pipeline,
    check,
    suspects,
    transformations,
)
from disteval.errors import DataError, DataOrderError

Dataset = tf.data.Dataset
ELEMENT = (tf.constant("name"), tf.constant(1, tf.int64))

# Pipelines, and the names of what is in them. They fail if TensorFlow changes its own names.
# TensorFlow adds a `map` to some transformations.
PIPELINES: list[tuple[Pipeline, list[str]]] = [
    (lambda d: d, []),
    (lambda d: d.map(lambda name, label: label).batch(3).prefetch(2), ["map", "batch", "prefetch"]),
    (lambda d: d.map(lambda *e: e, num_parallel_calls=2), ["map"]),
    (lambda d: d.map(lambda name, label: label).padded_batch(3), ["map", "padded_batch"]),
    (
        lambda d: d.batch(2, num_parallel_calls=2).unbatch().cache(),
        ["batch", "map", "unbatch", "cache"],
    ),
    (lambda d: d.batch(2).rebatch(3), ["batch", "map", "rebatch"]),
    (lambda d: d.filter(lambda name, label: label > 1), ["filter"]),
    (lambda d: d.flat_map(lambda *e: Dataset.from_tensors(e)), ["flat_map"]),
    (lambda d: d.interleave(lambda *e: Dataset.from_tensors(e)), ["interleave"]),
    (lambda d: d.repeat(2).take(3).skip(1), ["repeat", "take", "skip"]),
    (lambda d: d.take_while(lambda *e: True).ignore_errors(), ["take_while", "ignore_errors"]),
    (lambda d: d.shuffle(3), ["shuffle"]),
    (lambda d: d.concatenate(d), ["tensor", "concatenate"]),
    (lambda d: Dataset.zip(d), ["zip"]),
    (lambda d: d.enumerate(), ["range", "zip"]),
    (lambda d: d.shard(2, 0), ["shard"]),
    (lambda d: d.cache("folder/file"), ["cache(filename)"]),
    (
        lambda d: d.map(lambda *e: e, num_parallel_calls=2, deterministic=False),
        ["map(deterministic=False)"],
    ),
    (
        lambda d: d.interleave(
            lambda *e: Dataset.from_tensors(e), num_parallel_calls=2, deterministic=False
        ),
        ["interleave(deterministic=False)"],
    ),
    (
        lambda d: d.group_by_window(
            lambda name, label: label, lambda key, group: group.batch(2), window_size=2
        ),
        ["group_by_window"],
    ),
]


@pytest.mark.parametrize(("pipeline", "names"), PIPELINES)
def test_names_of_transformations(pipeline: Pipeline, names: list[str]) -> None:
    assert transformations(pipeline, ELEMENT) == names


def test_data_need_not_fit_into_a_graph() -> None:
    ragged = tf.RaggedTensor.from_row_lengths(tf.range(3), [2, 1])
    names = transformations(lambda d: d.map(lambda x: x).batch(2), {"image": ragged})
    assert names == ["map", "batch"]
    # A Python function, which no graph could hold.
    decode = lambda x: tf.numpy_function(np.asarray, [x], tf.int64)  # noqa: E731
    assert transformations(lambda d: d.map(decode), tf.constant(1, tf.int64)) == ["map"]


@pytest.mark.parametrize("name", sorted(REORDERING))
def test_another_order_is_refused(name: str) -> None:
    with pytest.raises(DataOrderError) as error:
        check(["map", name])
    assert f"in another order than that of the elements. Received: a pipeline with `{name}`." in (
        str(error.value)
    )


@pytest.mark.parametrize("name", sorted(DEPENDENT))
def test_samples_of_several_elements_are_refused(name: str) -> None:
    with pytest.raises(DataError, match="more than its own element") as error:
        check([name, "map"])
    assert f"a pipeline with `{name}`. Expected: `zip` and" in str(error.value)


def test_what_may_drop_or_add_samples_is_named() -> None:
    check(["filter", "batch"])
    assert suspects(sorted(KEEPING)) == ""
    assert suspects(["filter", "batch", "repeat"]) == " The pipeline contains `filter`, `repeat`."
