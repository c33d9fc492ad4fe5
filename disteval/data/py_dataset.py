"""Validation data as a `keras.utils.PyDataset`."""

from __future__ import annotations

import collections
import contextlib
import threading
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import tensorflow as tf

from disteval.data.batches import as_floatx, as_tuple, cut, num_rows, split_element
from disteval.data.sharding import WHOLE, Shard
from disteval.data.sources import Source
from disteval.errors import DataError


class PyDatasetSource(Source):
    """A `keras.utils.PyDataset`, of which a rank reads only its own batches."""

    def __init__(self, dataset: Any, num_samples: int | None) -> None:
        if not len(dataset):
            raise DataError("validation_data is an empty PyDataset. Expected: at least one batch.")
        self.dataset = dataset
        self.num_samples = num_samples
        self._workers = getattr(dataset, "workers", 1)
        # Without workers, the dataset may not be thread-safe, and `samples` may run on another
        # thread than an evaluation.
        self._reading = threading.Lock() if self._workers <= 1 else contextlib.nullcontext()
        self.batch_size = num_rows(self._batch(0))

    def capacity(self) -> int:
        count = len(self.dataset) * self.batch_size
        return count if self.num_samples is None else min(count, self.num_samples)

    def num_batches(self) -> int:
        return len(self.dataset)

    def extent(self) -> str:
        return f"{self._num_read()} batches"

    def batches(self, shard: Shard) -> Iterator[tuple[int, Any]]:
        numbers = range(*shard.bounds(self._num_read()))
        for i, batch in zip(numbers, self._read(numbers), strict=True):
            rows, start = num_rows(batch), i * self.batch_size
            if rows > self.batch_size or (rows < self.batch_size and i < len(self.dataset) - 1):
                raise DataError(
                    f"Batch {i} of the PyDataset has {rows} samples and batch 0 has "
                    f"{self.batch_size}. Expected: the same number in each but the last, so that "
                    "a rank knows which samples it holds without reading the other batches."
                )
            if self.num_samples is not None:
                batch = cut(batch, self.num_samples - start)
            yield start, tf.nest.map_structure(as_floatx, batch)

    def _num_read(self) -> int:
        """Returns how many batches all ranks read together."""
        if self.num_samples is None:
            return len(self.dataset)
        return min(len(self.dataset), -(-self.num_samples // self.batch_size))

    def _read(self, numbers: range) -> Iterator[Any]:
        """Yields batches in order, read by as many threads as the dataset has workers."""
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
