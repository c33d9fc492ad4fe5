"""The work of samples: the values of their inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from disteval.data.coercion import as_source
from disteval.data.sharding import Shard
from disteval.data.work import work_of, work_of_batches

RAGGED = tf.ragged.constant([[1, 2, 3], [4], [], [5, 6]])
DEEP = tf.ragged.constant([[[1], [2, 3]], [[4]], [], [[], [5, 6]]])
TEXTS = np.array(["abc", "d", "", "ef"])


@pytest.mark.parametrize(
    ("x", "work"),
    [
        (RAGGED, [6, 4]),
        (DEEP, [6, 4]),
        (TEXTS, [6, 4]),
        (TEXTS.astype("S"), [6, 4]),
        (TEXTS.astype(object), [6, 4]),
        (tf.constant(TEXTS), [6, 4]),
        (np.stack([TEXTS, TEXTS], axis=1), [12, 8]),
        ({"a": RAGGED, "b": np.zeros((4, 2))}, [10, 8]),
        (np.array(["", "", "a", ""]), [1, 2]),
    ],
)
def test_work_is_that_of_the_longest_sample_for_each(x: Any, work: list[int]) -> None:
    y = tf.ragged.constant([[1] * 9, [], [], []])  # counts for nothing
    found = work_of_batches((x, y), 2)
    assert found is not None
    assert found.tolist() == work
    halves = [tf.nest.map_structure(lambda leaf, i=i: leaf[i : i + 2], x) for i in (0, 2)]
    assert [work_of((half, y)) for half in halves] == work


@pytest.mark.parametrize("x", [np.zeros((4, 5)), tf.zeros((4, 5))])
def test_samples_of_one_size_have_equal_work(x: Any) -> None:
    assert work_of_batches((x, x), 2) is None
    assert work_of((x, np.zeros((4, 100)))) == 20


def test_arrays_are_cut_where_the_work_is_even() -> None:
    texts = np.array(["a" * 9, *["b"] * 90])
    source = as_source((texts, texts), batch_size=10)
    sizes = [sum(len(batch[0]) for _, batch in source.batches(Shard(rank, 2))) for rank in range(2)]
    assert sizes == [10, 81]
    work = [sum(work_of(batch) for _, batch in source.batches(Shard(rank, 2))) for rank in range(2)]
    assert work == [90, 81]


def test_datasets_go_to_the_rank_with_less_work() -> None:
    lengths = [50, 1, 1, 1, 40, 1, 30, 30]
    texts = ["a" * length for length in lengths]
    dataset = tf.data.Dataset.from_tensor_slices((texts, lengths)).batch(1)
    source = as_source(dataset)
    taken = [[int(batch[1][0]) for _, batch in source.batches(Shard(rank, 2))] for rank in range(2)]
    assert taken == [[50, 30], [1, 1, 1, 40, 1, 30]]
