"""Data of every kind: its shards and its samples, in one order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import disteval
from disteval.data.coercion import as_source
from disteval.data.sharding import WHOLE, Pace, Shard
from disteval.errors import DataError
from sample_data import Batches, striped

X = np.arange(180, dtype=np.float32).reshape(60, 3)
Y = np.arange(60)[::-1].copy()
RAGGED = tf.RaggedTensor.from_row_lengths(tf.range(6.0), [1, 2, 3])


def dataset(samples: int) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((X[:samples], Y[:samples]))


def tripled(elements: tf.data.Dataset) -> tf.data.Dataset:
    """Returns a pipeline that leaves its elements as they are, by several threads."""
    return elements.map(lambda x, y: (x * 3 / 3, y), num_parallel_calls=2)


SOURCES: dict[str, Callable[[int, int], Any]] = {
    "arrays": lambda n, size: (X[:n], Y[:n]),
    "dataset": lambda n, size: dataset(n),
    "batched dataset": lambda n, size: dataset(n).batch(size),
    "dataset of unknown length": lambda n, size: dataset(n).filter(lambda x, y: True),
    "infinite dataset": lambda n, size: dataset(n).repeat(),
    "infinite batched dataset": lambda n, size: dataset(n).batch(size).repeat(),
    "sharded": lambda n, size: disteval.sharded((X[:n], Y[:n]), tripled),
    "sharded batches": lambda n, size: disteval.sharded(
        dataset(n), lambda elements: tripled(elements).batch(size).prefetch(2)
    ),
    "sharded of unknown length": lambda n, size: disteval.sharded(
        dataset(n).filter(lambda x, y: True), lambda elements: elements.batch(size)
    ),
    "infinite sharded": lambda n, size: disteval.sharded(
        dataset(n).repeat(), lambda elements: elements.batch(size)
    ),
    "PyDataset": lambda n, size: Batches((X[:n], Y[:n]), size),
    "function": lambda n, size: striped((X[:n], Y[:n])),
    "batched function": lambda n, size: lambda *shard: striped((X[:n], Y[:n]))(*shard).batch(size),
}


@settings(max_examples=50)
@given(
    st.sampled_from([kind for kind in SOURCES if "infinite" not in kind]),
    st.integers(1, 60),
    st.integers(1, 20),
    st.none() | st.integers(1, 70),
    st.lists(st.floats(0.1, 10), min_size=1, max_size=4),
    st.booleans(),
    st.integers(1, 4),
    st.sampled_from([1e-9, 1.0]),
)
def test_rounds_cover_each_sample_once_in_whole_batches(
    kind: str,
    samples: int,
    batch_size: int,
    num_samples: int | None,
    shares: list[float],
    equal: bool,
    num_replicas: int,
    seconds: float,
) -> None:
    source = as_source(
        SOURCES[kind](samples, batch_size), batch_size=batch_size, num_samples=num_samples
    )
    limit = min(samples, num_samples or samples)
    numbers = []
    for rank in range(len(shares)):
        shard, pace = Shard(rank, len(shares), None if equal else tuple(shares)), Pace()
        for segments in source.rounds(shard, num_replicas, pace):
            assert 1 <= len(segments) <= num_replicas
            for segment in segments:
                sizes = np.diff(segment.offsets)
                assert segment.offsets[0] == 0
                assert segment.offsets[-1] == len(segment.index)
                assert all(1 <= size <= batch_size for size in sizes)
                np.testing.assert_array_equal(segment.batch[0], X[segment.index])
                np.testing.assert_array_equal(segment.batch[1], Y[segment.index])
                numbers.extend(segment.index)
                if "function" not in kind:  # those yield the batches of their shard
                    starts = segment.index[segment.offsets[:-1]]
                    whole = np.minimum(batch_size, limit - starts)
                    assert not (starts % batch_size).any()
                    assert sizes.tolist() == whole.tolist()
            pace.took(len(segments[0].offsets) - 1, seconds, output_bytes=100)
    assert sorted(numbers) == list(range(limit))


@pytest.mark.parametrize("num_samples", [1, 7, 8, 20])
@pytest.mark.parametrize("kind", SOURCES)
def test_samples_come_one_by_one_in_order(kind: str, num_samples: int) -> None:
    source = as_source(SOURCES[kind](20, 8), num_samples=num_samples)
    found = list(source.samples())
    assert len(found) == num_samples
    for i, (x, y) in enumerate(found):
        assert isinstance(x, np.ndarray)
        np.testing.assert_array_equal(x, X[i])
        assert y == Y[i]


@pytest.mark.parametrize("kind", [kind for kind in SOURCES if "infinite" not in kind])
def test_all_samples_without_num_samples(kind: str) -> None:
    found = list(as_source(SOURCES[kind](20, 8)).samples())
    assert [int(y) for _, y in found] == Y[:20].tolist()


def test_samples_of_nests() -> None:
    arrays = ({"a": X, "b": [Y]}, None)[:1]
    x, y = next(as_source(arrays).samples())
    assert y is None
    assert x["a"].tolist() == X[0].tolist()
    assert x["b"] == [Y[0]]


@pytest.mark.parametrize("kind", SOURCES)
def test_first_is_the_first_batch(kind: str) -> None:
    source = as_source(SOURCES[kind](20, 8), batch_size=8, num_samples=20)
    x, y = source.first()
    np.testing.assert_array_equal(x, X[:8])
    np.testing.assert_array_equal(y, Y[:8])


def test_arrays_may_be_tensors_and_ragged() -> None:
    source = as_source((RAGGED, tf.constant([5, 6, 7])))
    assert [(x.tolist(), y) for x, y in source.samples()] == [
        ([0], 5),
        ([1, 2], 6),
        ([3, 4, 5], 7),
    ]
    assert source.first()[0].to_list() == RAGGED.to_list()


def test_ragged_datasets() -> None:
    batched = tf.data.Dataset.from_tensor_slices((RAGGED, [5, 6, 7])).batch(2)
    source = as_source(batched, num_samples=2)
    ((segment,),) = source.rounds(WHOLE, 1, Pace())
    assert segment.batch[0].to_list() == RAGGED[:2].to_list()
    assert [x.tolist() for x, _ in source.samples()] == [[0], [1, 2]]


def test_num_samples_cuts_ragged_batches_of_a_function() -> None:
    def shard(index: int, count: int) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices((np.arange(3), (RAGGED, Y[:3]))).batch(3)

    (index, (x, _)), *others = as_source(shard, num_samples=2).batches(WHOLE)
    assert (index.tolist(), x.to_list(), others) == ([0, 1], RAGGED[:2].to_list(), [])


@pytest.mark.parametrize(
    ("fn", "received"),
    [
        (lambda index, count: dataset(3), "float32"),
        (lambda index, count: dataset(3).map(lambda x, y: x), "TensorSpec"),
        (lambda index, count: X, "0."),
        (lambda index, count: None, "None"),
    ],
)
def test_refused_function(fn: Callable[[int, int], Any], received: str) -> None:
    with pytest.raises(
        DataError,
        match=rf"(?s)validation_data\(1, 2\) returned .*{received}.*\(index, \(x, y\)\).*integer",
    ):
        list(as_source(fn).batches(Shard(1, 2)))


def test_refused_function_out_of_order() -> None:
    def backwards(index: int, count: int) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices((np.arange(3)[::-1], (X[:3], Y[:3])))

    with pytest.raises(DataError, match=r"yields sample 2 at position 0.*in order"):
        list(as_source(backwards).samples())


def test_data_that_turns_out_to_be_empty() -> None:
    nothing = dataset(3).filter(lambda x, y: False)
    with pytest.raises(DataError, match=r"empty.*at least one sample"):
        as_source(nothing).first()


@pytest.mark.parametrize(
    ("given", "num_samples", "expected"),
    [
        ((X, Y), None, len(X)),
        ((X, Y), 3, 3),
        (tf.data.Dataset.range(10), None, 10),
        (tf.data.Dataset.range(10), 4, 4),
        (tf.data.Dataset.range(10).batch(3), None, None),
        (tf.data.Dataset.range(10).batch(3, drop_remainder=True), None, 9),
        (tf.data.Dataset.range(10).filter(lambda i: i > 5), None, None),
        (tf.data.Dataset.range(10).repeat(), 7, None),
        (disteval.sharded((X, Y), lambda elements: elements), None, len(X)),
        (disteval.sharded((X, Y), lambda elements: elements.batch(7)), 5, 5),
        (Batches((X, Y), [4, 4, 2]), None, 12),
        (Batches((X, Y), [4, 4, 2]), 5, 5),
        (lambda index, of: None, None, None),
    ],
)
def test_capacity_is_no_less_than_the_samples(
    given: Any, num_samples: int | None, expected: int | None
) -> None:
    assert as_source(given, num_samples=num_samples).capacity() == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (dataset(20), 3),
        (dataset(20).batch(7), 3),
        (dataset(20).filter(lambda x, y: True).batch(7), None),
        (Batches((X, Y), [4, 4, 2]), 3),
        (striped((X, Y)), None),
    ],
)
def test_number_of_batches(given: Any, expected: int | None) -> None:
    assert as_source(given, batch_size=8).num_batches() == expected


@pytest.mark.parametrize(
    ("given", "num_samples", "expected"),
    [
        ((X, Y), 5, "5 samples"),
        (dataset(20), None, "20 samples"),
        (dataset(20).batch(7), None, "20 samples"),
        (dataset(20).batch(7), 12, "12 samples"),
        (dataset(20).batch(7), 50, "20 samples"),
        (disteval.sharded((X, Y), lambda elements: elements.batch(7)), 6, "6 samples"),
        (Batches((X, Y), [4, 4, 2]), None, "3 batches"),
        (Batches((X, Y), [4, 4, 2]), 5, "2 batches"),
        (striped((X, Y)), None, None),
    ],
)
def test_each_rank_finds_the_extent_of_all_data(
    given: Any, num_samples: int | None, expected: str | None
) -> None:
    for rank in range(3):
        source = as_source(given, batch_size=8, num_samples=num_samples)
        for _ in source.batches(Shard(rank, 3)):
            pass
        assert source.extent() == expected


@pytest.mark.parametrize(("num_replicas", "expected"), [(1, [1] * 5), (2, [2, 2, 1])])
def test_replicas_that_wait_for_input_get_a_batch_each(
    num_replicas: int, expected: list[int]
) -> None:
    pace = Pace()
    pace.took(1, 1e-6, 100)
    source = as_source(dataset(20), batch_size=4)
    assert [len(segment.offsets) - 1 for (segment,) in source.rounds(WHOLE, 1, pace)] == [5]
    with pace.wait:
        rounds = list(source.rounds(WHOLE, num_replicas, pace))
    assert [len(segments) for segments in rounds] == expected
