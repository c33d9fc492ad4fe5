"""Data that comes in another order at another pass or on another rank is found."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import disteval
from disteval.data.coercion import as_source
from disteval.data.consistency import check_extents, check_length, check_passes, check_ranks
from disteval.data.sharding import Shard
from disteval.data.sources import DatasetSource
from disteval.errors import DataOrderError
from sample_data import Batches, striped

keras = tf.keras
X = np.arange(900, dtype=np.float32).reshape(300, 3)
Y = np.arange(300) % 5
DATASET = tf.data.Dataset.from_tensor_slices((X, Y))


def order(data: Any, rank: int = 0, size: int = 2, **arguments: Any) -> str | None:
    return check_passes(as_source(data, **arguments), rank, size)


def batches(dataset: tf.data.Dataset) -> tf.data.Dataset:
    return dataset.batch(7)


STEADY: dict[str, Any] = {
    "arrays": (X, Y),
    "tensors": (tf.constant(X), Y),
    "unbatched": DATASET,
    "batched": DATASET.batch(7),
    "shuffled once": DATASET.shuffle(300, seed=1, reshuffle_each_iteration=False).batch(7),
    "ragged": tf.data.Dataset.from_tensor_slices(tf.ragged.range(Y)).batch(7),
    "strings": tf.data.Dataset.from_tensor_slices(tf.strings.as_string(X)).batch(7),
    "PyDataset": Batches(X, 10),
    "sharded": disteval.sharded((X, Y), batches),
    "sharded strings": disteval.sharded(tf.strings.as_string(X), batches),
    "sharded and ragged": disteval.sharded(tf.ragged.range(Y), batches),
    "not a number": tf.data.Dataset.from_tensor_slices(X * np.nan).batch(7),
}


@pytest.mark.parametrize("data", STEADY.values(), ids=STEADY)
def test_steady_data_has_a_digest_that_is_the_same_on_all_ranks(data: Any) -> None:
    digest = order(data, rank=0)
    assert digest
    assert digest == order(data, rank=1)


def test_digests_of_all_these_data_differ() -> None:
    digests = [order(data) for name, data in STEADY.items() if name != "tensors"]
    assert len(set(digests)) == len(STEADY) - 1
    assert order(STEADY["tensors"]) == order(STEADY["arrays"])


class Other:
    """A generator that counts its passes, and whose passes differ from one batch on."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.passes = 0

    def __call__(self) -> Iterator[np.ndarray]:
        self.passes += 1
        for i in range(80):
            yield X[:2] + (self.passes if i >= self.first else 0)

    def dataset(self) -> tf.data.Dataset:
        return tf.data.Dataset.from_generator(self, output_signature=tf.TensorSpec([2, 3]))


class Reshuffled(Batches):
    """Another order whenever the first batch is read."""

    def __init__(self) -> None:
        super().__init__(X, 10)

    def __getitem__(self, i: int) -> np.ndarray:
        if i == 0:
            self.arrays = np.random.default_rng().permutation(self.arrays)
        return super().__getitem__(i)


def reshuffled_shards(index: int, count: int) -> tf.data.Dataset:
    return striped((X, Y))(index, count).shuffle(300)


def augmented(x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.numpy_function(np.random.default_rng().permutation, [x], tf.float32), y


UNSTEADY: dict[str, Callable[[], Any]] = {
    "shuffled": lambda: DATASET.shuffle(300),
    "shuffled with a seed": lambda: DATASET.shuffle(300, seed=1),
    "a small buffer": lambda: DATASET.shuffle(2).batch(30),
    "sharded elements": lambda: disteval.sharded(DATASET.shuffle(300), batches),
    "sharded and augmented": lambda: disteval.sharded(DATASET, lambda d: batches(d.map(augmented))),
    "augmented": lambda: DATASET.map(augmented).batch(7),
    "from the first batch on": lambda: Other(0).dataset(),
    "from batch 3 on": lambda: Other(3).dataset(),
    "one of many batches": lambda: DATASET.batch(1).shuffle(300),
    "PyDataset": Reshuffled,
    "function": lambda: reshuffled_shards,
}


@pytest.mark.parametrize("make", UNSTEADY.values(), ids=UNSTEADY)
def test_data_that_differ_between_passes_are_found(make: Callable[[], Any]) -> None:
    with pytest.raises(
        DataOrderError, match="in another order, or with other values, at each pass"
    ):
        order(make())


@pytest.mark.parametrize(
    ("data", "advice"),
    [
        (DATASET.shuffle(300), r"there is a `dataset.shuffle\(...\)` in it: remove it"),
        (disteval.sharded(DATASET.shuffle(300), batches), "`elements` .*list_files.*shuffle=False"),
        (disteval.sharded(DATASET, lambda d: batches(d.map(augmented))), "augments at random"),
    ],
)
def test_the_error_says_what_most_likely_shuffles(data: Any, advice: str) -> None:
    with pytest.raises(DataOrderError, match=advice):
        order(data)


@pytest.mark.parametrize(
    ("batches", "expected"),
    [(1, 2), (40, 2), (199, 2), (200, 4), (300, 6), (400, 8), (10_000, 8), (None, 8)],
)
def test_two_passes_read_few_batches(batches: int | None, expected: int) -> None:
    class Counted(DatasetSource):
        """Counts the batches that are read, of which TensorFlow reads more ahead."""

        read = 0

        def batches(self, shard: Shard) -> Iterator[tuple[int, Any]]:
            for batch in super().batches(shard):
                self.read += 1
                yield batch

    dataset = tf.data.Dataset.range(batches or 10_000)
    source = Counted(dataset if batches else dataset.filter(lambda i: True), False, 1, None)
    check_passes(source, 0, 2)
    assert source.read == expected


def test_only_elements_and_a_batch_of_sharded_data_are_read() -> None:
    read = []

    def count(number: np.int64) -> np.int64:
        read.append(number)
        return number

    def pipeline(elements: tf.data.Dataset) -> tf.data.Dataset:
        return elements.map(lambda i: tf.numpy_function(count, [i], tf.int64)).batch(4)

    assert order(disteval.sharded(tf.data.Dataset.range(1000), pipeline))
    # By the passes, and for the size of a batch; TensorFlow reads a few batches ahead.
    assert 12 <= len(read) < 100


@pytest.mark.parametrize("mapped", [False, True])
def test_a_directory_of_images_is_shuffled_by_default(mapped: bool, tmp_path: Path) -> None:
    for i in range(40):
        folder = tmp_path / f"class_{i % 2}"
        folder.mkdir(exist_ok=True)
        keras.utils.save_img(folder / f"{i}.png", np.full((4, 4, 1), i, np.uint8), scale=False)
    read = functools.partial(
        keras.utils.image_dataset_from_directory, tmp_path, seed=1, validation_split=0.5,
        image_size=(4, 4), batch_size=4, verbose=False,
    )  # fmt: skip
    told = "It comes from a function like `keras.utils.image_dataset_from_directory`"
    given = read(subset="validation")
    if mapped:  # Keras' attributes are gone
        given, told = (
            given.map(lambda x, y: (x / 255, y)),
            r"`dataset.shuffle\(...\)` in it.*image_d",
        )
    with pytest.raises(DataOrderError, match=rf'{told}.*shuffle=False.*subset="both"'):
        order(given)
    # What the message advises.
    assert order(read(subset="validation", shuffle=False))
    assert order(read(subset="both")[1])


def test_another_order_of_rows_has_another_digest() -> None:
    permuted = np.random.default_rng(0).permutation(300)
    assert order((X, Y)) != order((X[permuted], Y[permuted]))
    assert order((X, Y)) != order((X, Y[permuted]))
    assert order(DATASET) != order(DATASET.shuffle(300, seed=1, reshuffle_each_iteration=False))
    # Only what is evaluated counts.
    later = np.concatenate([np.arange(100), 100 + permuted[permuted < 200]])
    assert order((X, Y), num_samples=100) == order((X[later], Y[later]), num_samples=100)


def test_ranks_may_read_other_data_from_a_function() -> None:
    assert order(striped((X, Y)), rank=0) is None
    assert order(striped((X, Y)), rank=1) is None


def test_ranks_with_the_same_order_pass() -> None:
    check_ranks(["a", "a", "a"])
    check_ranks([None, None])


def test_ranks_with_another_order_are_named() -> None:
    with pytest.raises(DataOrderError, match=r"between rank 0 and ranks \[1, 3\].*permutation"):
        check_ranks(["a", "b", "a", "c"])


def test_ranks_that_find_more_or_less_data_are_named() -> None:
    check_extents(["20 samples"] * 3)
    check_extents([None, None])
    match = r"has 20 samples on rank 0 and 24 samples on ranks \[1, 3\]\. Expected: the same"
    with pytest.raises(DataOrderError, match=match):
        check_extents(["20 samples", "24 samples", "20 samples", "24 samples"])


def test_length() -> None:
    check_length(10, None, "epoch 0")
    check_length(10, 10, "epoch 1")
    with pytest.raises(DataOrderError, match="has 11 samples in epoch 2, and had 10 before"):
        check_length(11, 10, "epoch 2")
