"""Validation data of every kind: its shards, its samples, and whether it is batched."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from concurrent import futures
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from disteval import data
from disteval.batches import split_element
from disteval.errors import DataError
from disteval.segments import WHOLE, Pace, Shard, Split, shard_bounds

keras = tf.keras
X = np.arange(180, dtype=np.float32).reshape(60, 3)
Y = np.arange(60)[::-1].copy()
RAGGED = tf.RaggedTensor.from_row_lengths(tf.range(6.0), [1, 2, 3])


class Batches(keras.utils.Sequence):
    """Batches of given sizes of `X` and `Y`."""

    def __init__(self, sizes: list[int]) -> None:
        super().__init__()
        self.ends = list(itertools.accumulate(sizes, initial=0))

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        rows = slice(self.ends[i], self.ends[i + 1])
        return X[rows], Y[rows]


def dataset(samples: int) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((X[:samples], Y[:samples]))


def batches(samples: int, size: int) -> Batches:
    return Batches([min(size, samples - start) for start in range(0, samples, size)])


def striped(samples: int) -> Callable[[int, int], tf.data.Dataset]:
    def shards(index: int, count: int) -> tf.data.Dataset:
        numbers = np.arange(index, samples, count)
        return tf.data.Dataset.from_tensor_slices((numbers, (X[numbers], Y[numbers])))

    return shards


SOURCES: dict[str, Callable[[int, int], Any]] = {
    "arrays": lambda n, size: (X[:n], Y[:n]),
    "dataset": lambda n, size: dataset(n),
    "batched dataset": lambda n, size: dataset(n).batch(size),
    "dataset of unknown length": lambda n, size: dataset(n).filter(lambda x, y: True),
    "infinite dataset": lambda n, size: dataset(n).repeat(),
    "infinite batched dataset": lambda n, size: dataset(n).batch(size).repeat(),
    "PyDataset": batches,
    "function": lambda n, size: striped(n),
    "batched function": lambda n, size: lambda i, count: striped(n)(i, count).batch(size),
}


@pytest.mark.parametrize(
    ("samples", "shards", "bounds"),
    [
        (0, 1, [(0, 0)]),
        (0, 3, [(0, 0), (0, 0), (0, 0)]),
        (1, 3, [(0, 1), (1, 1), (1, 1)]),
        (2, 3, [(0, 1), (1, 2), (2, 2)]),
        (3, 3, [(0, 1), (1, 2), (2, 3)]),
        (7, 1, [(0, 7)]),
        (7, 3, [(0, 3), (3, 5), (5, 7)]),
        (8, 3, [(0, 3), (3, 6), (6, 8)]),
        (9, 3, [(0, 3), (3, 6), (6, 9)]),
    ],
)
def test_shard_bounds(samples: int, shards: int, bounds: list[tuple[int, int]]) -> None:
    assert [shard_bounds(samples, i, shards) for i in range(shards)] == bounds


@given(st.integers(0, 10**12), st.integers(1, 64))
def test_shards_cover_each_sample_once_and_differ_by_one(samples: int, shards: int) -> None:
    bounds = [shard_bounds(samples, i, shards) for i in range(shards)]
    assert [start for start, _ in bounds] == [0, *(stop for _, stop in bounds[:-1])]
    assert bounds[-1][1] == samples
    sizes = [stop - start for start, stop in bounds]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] - sizes[-1] <= 1


@given(st.integers(0, 10**6), st.lists(st.floats(0.01, 100), min_size=1, max_size=8))
def test_weighted_shards_cover_each_sample_once(samples: int, weights: list[float]) -> None:
    shards = [Shard(rank, len(weights), tuple(weights)) for rank in range(len(weights))]
    bounds = [shard.bounds(samples) for shard in shards]
    assert [start for start, _ in bounds] == [0, *(stop for _, stop in bounds[:-1])]
    assert bounds[-1][1] == samples
    for (start, stop), weight in zip(bounds, weights, strict=True):
        assert abs(stop - start - samples * weight / sum(weights)) <= 1.001
    turns = np.stack([shard.turns() for shard in shards])
    assert (turns.sum(axis=0) == 1).all(), "each turn is that of one rank"


@settings(max_examples=50)
@given(
    st.sampled_from([kind for kind in SOURCES if "infinite" not in kind]),
    st.integers(1, 60),
    st.integers(1, 20),
    st.none() | st.integers(1, 70),
    st.lists(st.floats(0.1, 10), min_size=1, max_size=4),
    st.booleans(),
    st.lists(st.floats(0.1, 10), min_size=1, max_size=4),
    st.sampled_from([1e-9, 1.0]),
)
def test_rounds_cover_each_sample_once(
    kind: str,
    samples: int,
    batch_size: int,
    num_samples: int | None,
    weights: list[float],
    balanced: bool,
    speeds: list[float],
    seconds: float,
) -> None:
    source = data.as_source(
        SOURCES[kind](samples, batch_size), batch_size=batch_size, num_samples=num_samples
    )
    numbers = []
    split = Split(len(speeds), tuple(speeds) if balanced else None)
    for rank in range(len(weights)):
        shard, pace = Shard(rank, len(weights), tuple(weights) if balanced else None), Pace()
        for segments in source.rounds(shard, split, pace):
            assert 1 <= len(segments) <= split.replicas
            for segment in segments:
                sizes = np.diff(segment.splits)
                assert segment.splits[0] == 0
                assert segment.splits[-1] == len(segment.index)
                assert all(1 <= size <= batch_size for size in sizes)
                np.testing.assert_array_equal(segment.batch[0], X[segment.index])
                np.testing.assert_array_equal(segment.batch[1], Y[segment.index])
                numbers.extend(segment.index)
            pace.took(len(segments[0].splits) - 1, seconds, output_bytes=100)
    assert sorted(numbers) == list(range(min(samples, num_samples or samples)))


@pytest.mark.parametrize("num_samples", [1, 7, 8, 20])
@pytest.mark.parametrize("kind", SOURCES)
def test_samples_come_one_by_one_in_order(kind: str, num_samples: int) -> None:
    source = data.as_source(SOURCES[kind](20, 8), num_samples=num_samples)
    found = list(source.samples())
    assert len(found) == num_samples
    for i, (x, y) in enumerate(found):
        assert isinstance(x, np.ndarray)
        np.testing.assert_array_equal(x, X[i])
        assert y == Y[i]


@pytest.mark.parametrize("kind", [kind for kind in SOURCES if "infinite" not in kind])
def test_all_samples_without_num_samples(kind: str) -> None:
    found = list(data.as_source(SOURCES[kind](20, 8)).samples())
    assert [int(y) for _, y in found] == Y[:20].tolist()


def test_samples_of_nests() -> None:
    arrays = ({"a": X, "b": [Y]}, None)[:1]
    x, y = next(data.as_source(arrays).samples())
    assert y is None
    assert x["a"].tolist() == X[0].tolist()
    assert x["b"] == [Y[0]]


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        ((1, 2), (1, 2)),
        ((1, 2, 3), (1, 2)),
        ((1,), (1, None)),
        (1, (1, None)),
        ([1, 2], ([1, 2], None)),
        ({"a": 1}, ({"a": 1}, None)),
        (((1, 2), 3), ((1, 2), 3)),
    ],
)
def test_split_element(element: Any, expected: tuple[Any, Any]) -> None:
    assert split_element(element) == expected


@pytest.mark.parametrize("kind", SOURCES)
def test_first_is_the_first_batch(kind: str) -> None:
    source = data.as_source(SOURCES[kind](20, 8), batch_size=8, num_samples=20)
    x, y = source.first()
    np.testing.assert_array_equal(x, X[:8])
    np.testing.assert_array_equal(y, Y[:8])


def spec(*shape: int | None) -> tf.TensorSpec:
    return tf.TensorSpec(shape)


DENSE = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
IMAGES = keras.Sequential([keras.Input((None, None, 1)), keras.layers.Dense(2)])
COLUMN = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)])
PAIR = [keras.Input((3,)), keras.Input((4,))]
TWO = keras.Model(PAIR, keras.layers.Concatenate()(PAIR))


class Subclassed(keras.Model):
    """A model that does not know the shape of its input."""


@pytest.mark.parametrize(
    ("element", "model", "batched"),
    [
        # The rank of the model's input decides where it is known ...
        ((spec(3), spec(3)), DENSE, False),
        ((spec(None, 3), spec(None)), DENSE, True),
        ((spec(32, 3), spec(32, 2)), DENSE, True),
        ((spec(8, 8, 1), spec(8, 8, 1)), IMAGES, False),
        ((spec(None, None, None, 1), spec(None)), IMAGES, True),
        (((spec(3), spec(4)), spec()), TWO, False),
        (((spec(None, 3), spec(None, 4)), spec(None)), TWO, True),
        ((spec(1), spec(1)), COLUMN, False),
        # ... unless Keras appends a last dimension ...
        ((spec(None), spec(None)), COLUMN, True),
        ((spec(32), spec(32)), COLUMN, True),
        ((spec(None, 8, 8), spec(None)), IMAGES, True),
        ((spec(), spec()), COLUMN, False),
        # ... and the shapes where it is not.
        ((spec(3), spec()), Subclassed(), False),
        ((spec(3), spec()), keras.Sequential([keras.layers.Dense(2)]), False),
        ((spec(3), spec()), None, False),
        ((spec(28, 28), spec(10)), None, False),
        ((spec(None, 3), spec(None)), Subclassed(), True),
        ((spec(32, 3), spec(32)), None, True),
        (spec(32, 3), None, True),
        ({"a": spec(3), "b": spec(2)}, None, False),
        ((tf.RaggedTensorSpec([None, None]), spec(None)), None, True),
        # Of a batch of unknown size, some tensors may know it: nothing differs here.
        ((spec(32, 3), spec(None)), None, True),
    ],
)
def test_is_batched(element: Any, model: Any, batched: bool) -> None:
    assert data.is_batched(element, model) is batched


def test_float_arrays_become_floatx_and_others_stay() -> None:
    arrays = (X.astype(np.float64), {"half": X.astype(np.float16), "int": Y.astype(np.uint8)})
    x, y = data.as_source(arrays).first()
    assert (x.dtype, y["half"].dtype, y["int"].dtype) == ("float32", "float32", "uint8")


def test_arrays_may_be_tensors_and_ragged() -> None:
    source = data.as_source((RAGGED, tf.constant([5, 6, 7])))
    assert [(x.tolist(), y) for x, y in source.samples()] == [
        ([0], 5),
        ([1, 2], 6),
        ([3, 4, 5], 7),
    ]
    assert source.first()[0].to_list() == RAGGED.to_list()


def test_ragged_datasets() -> None:
    batched = tf.data.Dataset.from_tensor_slices((RAGGED, [5, 6, 7])).batch(2)
    source = data.as_source(batched, num_samples=2)
    ((segment,),) = source.rounds(WHOLE, Split(1), Pace())
    assert segment.batch[0].to_list() == RAGGED[:2].to_list()
    assert [x.tolist() for x, _ in source.samples()] == [[0], [1, 2]]


def test_num_samples_cuts_ragged_batches_of_a_function() -> None:
    def shard(index: int, count: int) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices((np.arange(3), (RAGGED, Y[:3]))).batch(3)

    (index, (x, _)), *others = data.as_source(shard, num_samples=2).batches(WHOLE)
    assert (index.tolist(), x.to_list(), others) == ([0, 1], RAGGED[:2].to_list(), [])


def test_a_source_is_left_as_it_is() -> None:
    source = data.as_source(X)
    assert data.as_source(source) is source


@pytest.mark.parametrize("value", [3, np.int64(3)])
def test_sizes_may_be_numpy_integers(value: int) -> None:
    source = data.as_source(X, num_samples=value, batch_size=value)
    assert len(source.first()[0]) == len(list(source.samples())) == 3


def test_an_empty_py_dataset_is_refused() -> None:
    with pytest.raises(DataError, match=r"empty PyDataset.*one batch at least"):
        data.as_source(Batches([]))


@pytest.mark.parametrize(("sizes", "wrong"), [([4, 3, 4], 1), ([4, 4, 5], 2), ([2, 4], 1)])
def test_uneven_batches_of_a_py_dataset_are_refused(sizes: list[int], wrong: int) -> None:
    source = data.as_source(Batches(sizes))
    with pytest.raises(
        DataError,
        match=f"Batch {wrong} of the PyDataset has {sizes[wrong]} samples and batch 0 has "
        f"{sizes[0]}.*the same number in each but the last",
    ):
        list(source.batches(WHOLE))


class Slow(Batches):
    """Batches that several threads read at once, as lists, and the later ones sooner."""

    def __init__(self, sizes: list[int], workers: int) -> None:
        super().__init__(sizes)
        self.workers = workers
        self.together = threading.Barrier(workers)

    def __getitem__(self, i: int) -> Any:
        if i and i <= self.workers:  # batch 0 is read before, alone
            self.together.wait(timeout=20)
        return list(super().__getitem__(i))


def test_a_py_dataset_is_read_by_as_many_threads_as_it_asks_for() -> None:
    dataset = Slow([2] * 7, workers=3)
    index, batches = zip(*data.as_source(dataset).batches(Shard(1, 2)), strict=True)
    assert list(index) == [8, 10, 12]
    whole = list(data.as_source(Batches([2] * 7)).batches(Shard(1, 2)))
    for (x, y), (_, (x_wanted, y_wanted)) in zip(batches, whole, strict=True):
        np.testing.assert_array_equal(x, x_wanted)
        np.testing.assert_array_equal(y, y_wanted)


def test_a_py_dataset_without_workers_is_read_by_one_thread_at_a_time() -> None:
    class Alone(Batches):
        reading = threading.Lock()

        def __getitem__(self, i: int) -> Any:
            assert self.reading.acquire(blocking=False)
            time.sleep(0.01)
            self.reading.release()
            return super().__getitem__(i)

    source = data.as_source(Alone([2] * 10))
    # The hooks may read samples in the background of the next evaluation.
    with futures.ThreadPoolExecutor(2) as pool:
        reads = [pool.submit(lambda: list(source.samples())) for _ in range(2)]
    assert [len(read.result()) for read in reads] == [20, 20]


def test_a_list_of_a_py_dataset_is_a_tuple() -> None:
    class Lists(Batches):
        def __getitem__(self, i: int) -> Any:
            return [*super().__getitem__(i), None]

    wanted = list(data.as_source(Batches([3, 2])).samples())
    for (x, y), (x_wanted, y_wanted) in zip(
        data.as_source(Lists([3, 2])).samples(), wanted, strict=True
    ):
        np.testing.assert_array_equal(x, x_wanted)
        assert y == y_wanted


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
        (Batches([4, 4, 2]), None, 12),
        (Batches([4, 4, 2]), 5, 5),
        (lambda index, of: None, None, None),
    ],
)
def test_capacity_is_no_less_than_the_samples(
    given: Any, num_samples: int | None, expected: int | None
) -> None:
    assert data.as_source(given, num_samples=num_samples).capacity() == expected
