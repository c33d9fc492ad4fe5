"""Validation data as a `Source`: the shards of all ranks, and the samples, in one order."""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from disteval.data.batches import (
    as_floatx,
    cut,
    first_row,
    kept,
    num_bytes,
    num_rows,
    on_host,
    same_shapes,
    split_element,
)
from disteval.data.reading import in_order
from disteval.data.sharding import WHOLE, Pace, Segment, Shard, join, parts
from disteval.data.work import work_of, work_of_batches
from disteval.errors import DataError

EXPECTED = (
    "Expected: (x, y) or (x, y, sample_weight) of arrays or nests of arrays, a finite "
    "tf.data.Dataset, a keras.utils.PyDataset, disteval.sharded(elements, pipeline), or a function "
    "fn(shard_index, num_shards) that returns a tf.data.Dataset of (index, (x, y))."
)


class Source(abc.ABC):
    """Validation data that can be read as shards and as samples, in one order.

    Attributes:
        num_samples: How many samples to read at most; `None` for all.
    """

    num_samples: int | None

    @abc.abstractmethod
    def batches(self, shard: Shard) -> Iterator[tuple[int | np.ndarray, Any]]:
        """Yields the batches of a shard.

        Yields:
            The number of the first sample of a batch whose samples are consecutive, or the number
            of each sample (int64 of shape `(rows,)`), and the batch.
        """

    @abc.abstractmethod
    def samples(self) -> Iterator[tuple[Any, Any]]:
        """Yields `(x, y)` of each sample, in dataset order; y is `None` if there are no targets."""

    def capacity(self) -> int | None:
        """Returns an upper bound of the number of samples; `None` if only reading would tell."""
        return None

    def num_batches(self) -> int | None:
        """Returns the number of batches; `None` if only reading would tell."""
        return None

    def extent(self) -> str | None:
        """Returns how much data this rank found for all ranks together, such as "40 samples".

        It is known once `batches` has been read to its end, and equal on all ranks that read the
        same data. `None` if a rank reads its own part only.
        """
        return None

    def first(self) -> Any:
        """Returns the first batch of the data, whichever rank evaluates it.

        Raises:
            DataError: There is no sample.
        """
        for _, batch in self.batches(WHOLE):
            return batch
        raise DataError("validation_data is empty. Expected: at least one sample.")

    def rounds(self, shard: Shard, num_replicas: int, pace: Pace) -> Iterator[list[Segment]]:
        """Yields the rounds of a shard: a segment for each replica of the process.

        A round has fewer segments if there are fewer batches than replicas. Replicas that wait
        for input get a batch each at once, so that input and computing overlap.
        """
        batches = self.batches(shard)
        for batch in batches:
            limit = num_replicas * pace.batches(num_bytes(batch[1]))
            taken = [batch]
            while len(taken) < (num_replicas if pace.wait.is_on else limit):
                if (following := next(batches, None)) is None:
                    break
                taken.append(following)
            for run in same_shapes(taken):
                yield [join(run[start:stop]) for start, stop in parts(len(run), num_replicas)]


class ArraySource(Source):
    """Nests of arrays, of which a rank reads its own rows only.

    Shards consist of the batches that one device would evaluate. Cut anywhere else, a batch would
    have another loss: Keras weighs the mean over a batch by its number of samples, masked or not.
    """

    def __init__(self, arrays: Any, batch_size: int, num_samples: int | None) -> None:
        lengths = [num_rows(leaf) for leaf in tf.nest.flatten(arrays)]
        if len(set(lengths)) > 1:
            raise DataError(
                "The arrays of validation_data have unequal lengths. Received: "
                f"{', '.join(map(str, lengths[:8]))}{', ...' * (len(lengths) > 8)} rows (x first). "
                "Expected: equally many in each. A list is several arrays: of samples that differ "
                "in length, make an object array or a tf.RaggedTensor."
            )
        self.arrays = arrays
        self.batch_size = batch_size
        self.num_samples: int = min(lengths[0], num_samples or lengths[0])
        if not self.num_samples:
            raise DataError("validation_data is empty. Expected: at least one sample.")

    def capacity(self) -> int:
        return self.num_samples

    def extent(self) -> str:
        return f"{self.num_samples} samples"

    def batches(self, shard: Shard) -> Iterator[tuple[int, Any]]:
        for number in range(*shard.bounds(self._num_batches, self._work)):
            start, stop = self._rows_of(number, number + 1)
            yield start, self.rows(start, stop)

    def rounds(self, shard: Shard, num_replicas: int, pace: Pace) -> Iterator[list[Segment]]:
        # A segment is one slice of the arrays, so that no batches have to be joined.
        first, last = shard.bounds(self._num_batches, self._work)
        while first < last:
            start, stop = self._rows_of(first, first + 1)
            limit = num_replicas * pace.batches(num_bytes(self.rows(start, stop)))
            count = min(limit, last - first)
            bounds = parts(count, num_replicas)
            yield [self._segment(first + low, first + high) for low, high in bounds]
            first += count

    def samples(self) -> Iterator[tuple[Any, Any]]:
        for i in range(self.num_samples):
            # A slice goes by position, also in a column of a data frame, which has labels.
            sample = tf.nest.map_structure(lambda a, i=i: a[i : i + 1], self.arrays)
            yield split_element(tf.nest.map_structure(first_row, sample))

    @property
    def _num_batches(self) -> int:
        return -(-self.num_samples // self.batch_size)

    @functools.cached_property
    def _work(self) -> np.ndarray | None:
        """The work of each batch; `None` if it is the same for all."""
        return work_of_batches(cut(self.arrays, self.num_samples), self.batch_size)

    def _rows_of(self, first: int, last: int) -> tuple[int, int]:
        """Returns the range of the samples of batches `first` to `last - 1`."""
        return first * self.batch_size, min(last * self.batch_size, self.num_samples)

    def _segment(self, first: int, last: int) -> Segment:
        start, stop = self._rows_of(first, last)
        offsets = np.append(np.arange(0, stop - start, self.batch_size), stop - start)
        return Segment(np.arange(start, stop), self.rows(start, stop), offsets)

    def rows(self, start: int, stop: int) -> Any:
        """Returns samples `start` to `stop - 1` as a batch."""
        return tf.nest.map_structure(lambda a: as_floatx(a[start:stop]), self.arrays)


class DatasetSource(Source):
    """A finite `tf.data.Dataset`, batched or not; ranks take turns by batch and its work."""

    def __init__(
        self, dataset: tf.data.Dataset, batched: bool, batch_size: int, num_samples: int | None
    ) -> None:
        cardinality = int(dataset.cardinality())
        if cardinality == tf.data.INFINITE_CARDINALITY and num_samples is None:
            raise DataError(
                "validation_data is an infinite tf.data.Dataset. Expected: a finite one; remove "
                "`.repeat()`, or set num_samples."
            )
        if cardinality == 0:
            raise DataError("validation_data is an empty tf.data.Dataset. Expected: samples.")
        self.dataset = dataset
        self.batched = batched
        self.batch_size = batch_size
        self.num_samples = num_samples
        self._samples_read: int | None = None

    def capacity(self) -> int | None:
        count = int(self.dataset.cardinality())
        if self.batched:
            # The size of all batches but the last, if the shape of any tensor tells it.
            sizes = [spec.shape[0] for spec in tf.nest.flatten(self.dataset.element_spec)]
            count *= next(filter(None, sizes), 0)
        if count <= 0:  # unknown or infinite
            return None
        return count if self.num_samples is None else min(count, self.num_samples)

    def num_batches(self) -> int | None:
        count = int(self.dataset.cardinality())
        if count < 0:
            return None
        return count if self.batched else -(-count // self.batch_size)

    def extent(self) -> str | None:
        return None if self._samples_read is None else f"{self._samples_read} samples"

    def batches(self, shard: Shard) -> Iterator[tuple[int, Any]]:
        dataset = self.dataset
        if not self.batched:
            dataset = dataset.take(self.num_samples or -1).batch(self.batch_size)
        turns, start = shard.turns(), 0
        # Every rank reads all batches, since their sizes tell which samples a batch holds.
        for batch in in_order(dataset):
            if self.num_samples is not None and start >= self.num_samples:
                break
            if turns.takes(work_of(batch)):
                rows = self.num_samples - start if self.num_samples is not None else None
                yield start, batch if rows is None else cut(batch, rows)
            start += num_rows(batch)
        self._samples_read = start if self.num_samples is None else min(start, self.num_samples)

    def samples(self) -> Iterator[tuple[Any, Any]]:
        dataset = self.dataset.unbatch() if self.batched else self.dataset
        for element in in_order(dataset.take(self.num_samples or -1)):
            yield split_element(tf.nest.map_structure(on_host, element))


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
        for index, batch in in_order(dataset):
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
        for i, (index, element) in enumerate(in_order(dataset.take(self.num_samples or -1))):
            if int(index) != i:
                raise DataError(
                    f"fn(0, 1) yields sample {int(index)} at position {i}. Expected: the samples "
                    "0, 1, 2, ... in order when there is one shard."
                )
            yield split_element(tf.nest.map_structure(on_host, element))

    def _dataset(self, shard_index: int, num_shards: int) -> tf.data.Dataset:
        dataset = self.fn(shard_index, num_shards)
        spec = dataset.element_spec if isinstance(dataset, tf.data.Dataset) else dataset
        index = spec[0] if isinstance(spec, tuple) and len(spec) == 2 else None
        if not isinstance(index, tf.TensorSpec) or not index.dtype.is_integer:
            raise DataError(
                f"validation_data({shard_index}, {num_shards}) returned {spec}. Expected: a "
                "tf.data.Dataset of (index, (x, y)) with integer sample numbers, batched or not."
            )
        return dataset
