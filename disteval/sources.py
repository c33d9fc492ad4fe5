"""Validation data of every kind as one thing: a `Source` of indexed segments, a shard per rank."""

from __future__ import annotations

import abc
import collections
import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import numpy as np
import tensorflow as tf

from disteval.batches import (
    as_floatx,
    as_tuple,
    cut,
    first_row,
    kept,
    num_bytes,
    num_rows,
    on_host,
    same_shapes,
    split_element,
)
from disteval.errors import DataError
from disteval.segments import WHOLE, Pace, Segment, Shard, Split, join

EXPECTED = (
    "Expected (x, y) or (x, y, sample_weight) of arrays or nests of arrays, a finite "
    "tf.data.Dataset, a keras.utils.PyDataset, or a function fn(shard_index, num_shards) that "
    "returns a tf.data.Dataset of (index, (x, y))."
)


class Source(abc.ABC):
    """Validation data that can be read as shards and as samples, in one order.

    Attributes:
        num_samples: The number of samples at most, or `None` for all there are.
    """

    num_samples: int | None

    @abc.abstractmethod
    def batches(self, shard: Shard) -> Iterator[tuple[int | np.ndarray, Any]]:
        """Yields `(index, batch)` of one rank: the first sample's number or all numbers."""

    @abc.abstractmethod
    def samples(self) -> Iterator[tuple[Any, Any]]:
        """Yields `(x, y)` of each sample, in dataset order; y is `None` where there is none."""

    def capacity(self) -> int | None:
        """Returns how many samples there are at most, where that is known without reading them."""
        return None

    def first(self) -> Any:
        """Returns the first batch of the data, whoever evaluates it.

        Raises:
            DataError: There is none.
        """
        for _, batch in self.batches(WHOLE):
            return batch
        raise DataError("validation_data is empty. Expected one sample at least.")

    def rounds(self, shard: Shard, split: Split, pace: Pace) -> Iterator[list[Segment]]:
        """Yields the shard of a rank, in rounds of one segment for each of its replicas.

        A round has fewer segments where there are fewer batches than replicas.
        """
        batches = self.batches(shard)
        for batch in batches:
            limit = split.total(pace.batches(num_bytes(batch[1])))
            taken = [batch, *itertools.islice(batches, limit - 1)]
            for run in same_shapes(taken):
                yield [join(run[start:stop]) for start, stop in split.bounds(len(run))]


class ArraySource(Source):
    """Nests of arrays, of which a rank reads its own rows only."""

    def __init__(self, arrays: Any, batch_size: int, num_samples: int | None) -> None:
        lengths = [num_rows(leaf) for leaf in _array_leaves(arrays)]
        if len(set(lengths)) > 1:
            raise DataError(
                "The arrays of validation_data have unequal lengths. Received: "
                f"{', '.join(map(str, lengths))} rows (x first). Expected: as many in each."
            )
        self.arrays = arrays
        self.batch_size = batch_size
        self.num_samples: int = min(lengths[0], num_samples or lengths[0])
        if not self.num_samples:
            raise DataError("validation_data is empty. Expected one sample at least.")

    def capacity(self) -> int:
        return self.num_samples

    def batches(self, shard: Shard) -> Iterator[tuple[int, Any]]:
        start, stop = shard.bounds(self.num_samples)
        for begin in range(start, stop, self.batch_size):
            yield begin, self.rows(begin, min(begin + self.batch_size, stop))

    def rounds(self, shard: Shard, split: Split, pace: Pace) -> Iterator[list[Segment]]:
        # Slices of the arrays serve as segments, so no batch is cut out and joined again.
        begin, end = shard.bounds(self.num_samples)
        while begin < end:
            batch_bytes = num_bytes(self.rows(begin, begin + 1)) * self.batch_size
            limit = split.total(pace.batches(batch_bytes) * self.batch_size)
            rows = min(limit, end - begin)
            bounds = split.bounds(rows)
            yield [self._segment(begin + low, begin + high) for low, high in bounds]
            begin += rows

    def samples(self) -> Iterator[tuple[Any, Any]]:
        for i in range(self.num_samples):
            # Rows by position, also of what has labels, such as a column of a data frame.
            sample = tf.nest.map_structure(lambda a, i=i: a[i : i + 1], self.arrays)
            yield split_element(tf.nest.map_structure(first_row, sample))

    def _segment(self, start: int, stop: int) -> Segment:
        splits = np.append(np.arange(0, stop - start, self.batch_size), stop - start)
        return Segment(np.arange(start, stop), self.rows(start, stop), splits)

    def rows(self, start: int, stop: int) -> Any:
        """Returns samples `start` to `stop - 1` as a batch."""
        return tf.nest.map_structure(lambda a: as_floatx(a[start:stop]), self.arrays)


class DatasetSource(Source):
    """A finite `tf.data.Dataset`, batched or not; ranks take turns by batch."""

    def __init__(
        self, dataset: tf.data.Dataset, batched: bool, batch_size: int, num_samples: int | None
    ) -> None:
        cardinality = int(dataset.cardinality())
        if cardinality == tf.data.INFINITE_CARDINALITY and num_samples is None:
            raise DataError(
                "validation_data is an infinite tf.data.Dataset. Expected a finite one: remove "
                "`.repeat()`, or set num_samples."
            )
        if cardinality == 0:
            raise DataError("validation_data is an empty tf.data.Dataset. Expected a sample.")
        self.dataset = dataset
        self.batched = batched
        self.batch_size = batch_size
        self.num_samples = num_samples

    def capacity(self) -> int | None:
        count = int(self.dataset.cardinality())
        if self.batched:
            # Of one tensor at least, a batch says how many samples it has; but for the last one.
            sizes = [spec.shape[0] for spec in tf.nest.flatten(self.dataset.element_spec)]
            count *= next(filter(None, sizes), 0)
        if count <= 0:  # unknown or infinite
            return None
        return count if self.num_samples is None else min(count, self.num_samples)

    def batches(self, shard: Shard) -> Iterator[tuple[int, Any]]:
        dataset = self.dataset
        if not self.batched:
            dataset = dataset.take(self.num_samples or -1).batch(self.batch_size)
        turns, start = shard.turns(), 0
        # Every rank reads all batches: their sizes say which samples the others hold.
        for i, batch in enumerate(_in_order(dataset)):
            if self.num_samples is not None and start >= self.num_samples:
                return
            if turns[i % len(turns)]:
                rows = self.num_samples - start if self.num_samples is not None else None
                yield start, batch if rows is None else cut(batch, rows)
            start += num_rows(batch)

    def samples(self) -> Iterator[tuple[Any, Any]]:
        dataset = self.dataset.unbatch() if self.batched else self.dataset
        for element in _in_order(dataset.take(self.num_samples or -1)):
            yield split_element(tf.nest.map_structure(on_host, element))


class PyDatasetSource(Source):
    """A `keras.utils.PyDataset`, of which a rank reads its own batches only."""

    def __init__(self, dataset: Any, num_samples: int | None) -> None:
        if not len(dataset):
            raise DataError("validation_data is an empty PyDataset. Expected one batch at least.")
        self.dataset = dataset
        self.num_samples = num_samples
        self._workers = getattr(dataset, "workers", 1)
        # Without workers, it need not be safe for the threads of an evaluation and of `samples`.
        self._reading = threading.Lock() if self._workers <= 1 else contextlib.nullcontext()
        self.batch_size = num_rows(self._batch(0))

    def capacity(self) -> int:
        count = len(self.dataset) * self.batch_size
        return count if self.num_samples is None else min(count, self.num_samples)

    def batches(self, shard: Shard) -> Iterator[tuple[int, Any]]:
        count = len(self.dataset)
        if self.num_samples is not None:
            count = min(count, -(-self.num_samples // self.batch_size))
        numbers = range(*shard.bounds(count))
        for i, batch in zip(numbers, self._read(numbers), strict=True):
            rows, start = num_rows(batch), i * self.batch_size
            if rows > self.batch_size or (rows < self.batch_size and i < len(self.dataset) - 1):
                raise DataError(
                    f"Batch {i} of the PyDataset has {rows} samples and batch 0 has "
                    f"{self.batch_size}. Expected the same number in each but the last, so that "
                    "a rank knows which samples it holds without reading the other batches."
                )
            if self.num_samples is not None:
                batch = cut(batch, self.num_samples - start)
            yield start, tf.nest.map_structure(as_floatx, batch)

    def _read(self, numbers: range) -> Iterator[Any]:
        """Yields batches in their order, read by as many threads as the dataset asks for."""
        if self._workers <= 1:
            yield from map(self._batch, numbers)
            return
        pool = futures.ThreadPoolExecutor(self._workers, "disteval-input")
        reading: collections.deque[futures.Future[Any]] = collections.deque()
        try:
            for i in numbers:
                reading.append(pool.submit(self._batch, i))
                if len(reading) > self._workers:
                    yield reading.popleft().result()
            while reading:
                yield reading.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _batch(self, i: int) -> Any:
        with self._reading:
            return as_tuple(self.dataset[i])

    def samples(self) -> Iterator[tuple[Any, Any]]:
        for _, batch in self.batches(WHOLE):
            for i in range(num_rows(batch)):
                yield split_element(tf.nest.map_structure(lambda a, i=i: a[i], batch))


class FunctionSource(Source):
    """Input that is sharded at its source: `fn(shard_index, num_shards)`."""

    def __init__(
        self, fn: Callable[[int, int], tf.data.Dataset], batch_size: int, num_samples: int | None
    ) -> None:
        self.fn = fn
        self.batch_size = batch_size
        self.num_samples = num_samples

    def batches(self, shard: Shard) -> Iterator[tuple[np.ndarray, Any]]:
        dataset = self._dataset(shard.rank, shard.size)
        if not dataset.element_spec[0].shape.rank:
            dataset = dataset.batch(self.batch_size)
        for index, batch in _in_order(dataset):
            index = np.asarray(index, np.int64)
            if self.num_samples is not None:
                keep = index < self.num_samples
                index = index[keep]
                batch = tf.nest.map_structure(lambda a, keep=keep: kept(a, keep), batch)
            if len(index):
                yield index, batch

    def samples(self) -> Iterator[tuple[Any, Any]]:
        dataset = self._dataset(0, 1)
        if dataset.element_spec[0].shape.rank:
            dataset = dataset.unbatch()
        for i, (index, element) in enumerate(_in_order(dataset.take(self.num_samples or -1))):
            if int(index) != i:
                raise DataError(
                    f"fn(0, 1) yields sample {int(index)} at position {i}. Expected the samples "
                    "0, 1, 2, ... in order when there is one shard."
                )
            yield split_element(tf.nest.map_structure(on_host, element))

    def _dataset(self, shard_index: int, num_shards: int) -> tf.data.Dataset:
        dataset = self.fn(shard_index, num_shards)
        spec = dataset.element_spec if isinstance(dataset, tf.data.Dataset) else dataset
        index = spec[0] if isinstance(spec, tuple) and len(spec) == 2 else None
        if not isinstance(index, tf.TensorSpec) or not index.dtype.is_integer:
            raise DataError(
                f"validation_data({shard_index}, {num_shards}) returned {spec}. Expected a "
                "tf.data.Dataset of (index, (x, y)) with integer sample numbers, batched or not."
            )
        return dataset


def _array_leaves(arrays: Any) -> list[Any]:
    leaves = tf.nest.flatten(arrays)
    for leaf in leaves:
        is_array = isinstance(leaf, tf.RaggedTensor) or hasattr(leaf, "__array__")
        if not is_array or not len(getattr(leaf, "shape", ())):
            kind = f"a leaf of type {type(leaf).__name__}"
            hint = " For a list of numbers, use np.asarray." if np.isscalar(leaf) else ""
            if hasattr(leaf, "toarray"):  # of SciPy
                hint = " For sparse input, use toarray(), or a dataset that does by batch."
            raise DataError(f"Received: validation_data with {kind}. {EXPECTED}{hint}")
    return leaves


def _in_order(dataset: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    return dataset.with_options(options).prefetch(tf.data.AUTOTUNE)
