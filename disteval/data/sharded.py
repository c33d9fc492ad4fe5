"""Validation data of which a rank reads its own part only: `sharded(elements, pipeline)`."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np
import tensorflow as tf

from disteval.data import pipelines
from disteval.data.batches import num_rows, on_host, split_element
from disteval.data.pipelines import Pipeline
from disteval.data.reading import in_order
from disteval.data.sharding import Shard
from disteval.data.sources import Source
from disteval.errors import DataError

# How many elements are tried one by one to find that on which a pipeline fails: a large batch.
MAX_SEARCHED = 1024


class Sharded:
    """Elements that are cheap to read, and the pipeline that makes samples of them.

    Nothing is read before an evaluation, so that what is wrong is an error on every rank then.
    """

    def __init__(self, elements: Any, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.batch_size: int | None = None  # of a pipeline that batches, once a batch was read
        self._elements = elements
        self._newest: tuple[tuple[int, int], tf.data.Dataset] | None = None

    @functools.cached_property
    def elements(self) -> tf.data.Dataset:
        """The elements as a dataset."""
        if isinstance(self._elements, tf.data.Dataset):
            return self._elements
        try:
            return tf.data.Dataset.from_tensor_slices(self._elements)
        except (TypeError, ValueError, tf.errors.OpError) as error:
            raise DataError(
                "`elements` of disteval.sharded cannot be read one by one. Received: "
                f"{type(self._elements).__name__}, for which from_tensor_slices says: {error}. "
                "Expected: a tf.data.Dataset, not batched, or arrays or a nest of arrays with one "
                "row for each element, such as (file_names, labels)."
            ) from error

    @functools.cached_property
    def count(self) -> int | None:
        """The number of elements; `None` if there is no end."""
        cardinality = int(self.elements.cardinality())
        if cardinality == tf.data.INFINITE_CARDINALITY:
            return None
        if cardinality == tf.data.UNKNOWN_CARDINALITY:
            return int(self.elements.reduce(np.int64(0), lambda count, *_: count + 1))
        return cardinality

    @functools.cached_property
    def transformations(self) -> list[str]:
        """The names of the transformations in the pipeline, such as `["map", "batch"]`."""
        return pipelines.transformations(self.pipeline, next(iter(self.elements)))

    @functools.cached_property
    def element_spec(self) -> Any:
        """The nest of specs of what the pipeline yields."""
        return self.samples_of(0, 1).element_spec

    def samples_of(self, start: int, stop: int) -> tf.data.Dataset:
        """Returns what the pipeline makes of elements `start` to `stop - 1`."""
        return pipelines.applied(self.pipeline, self.elements.skip(start).take(stop - start))

    def kept_samples_of(self, start: int, stop: int) -> tf.data.Dataset:
        """Returns the same dataset as before, if it was for the same elements.

        So the pipeline is not traced again, and what it caches lasts until the next evaluation.
        """
        if self._newest is None or self._newest[0] != (start, stop):
            self._newest = (start, stop), self.samples_of(start, stop)
        return self._newest[1]


def sharded(elements: Any, pipeline: Pipeline) -> Sharded:
    """Returns validation data of which each rank reads and decodes its own part only.

    Use it if reading takes time: of a plain `tf.data.Dataset`, each rank runs the whole pipeline
    to evaluate its part of the batches.

    Args:
        elements: What is cheap to read, one element for each sample: a `tf.data.Dataset` that is
            not batched (of file names and labels, or of the raw records of TFRecord files), or
            arrays or a nest of arrays, as for `tf.data.Dataset.from_tensor_slices`. Each rank skips
            the elements of the other ranks. If a dataset does not know its cardinality, its
            elements are counted once, unless `tf.data.experimental.assert_cardinality` tells.
        pipeline: `pipeline(dataset)` returns the dataset of samples `x`, `(x, y)` or
            `(x, y, sample_weight)` that is made of a dataset of elements, with one sample for each
            element, in order. It may batch them, else they are batched by `batch_size`. It can
            `map` with `num_parallel_calls`, `cache` in memory and `prefetch`.

    Returns:
        What `DistEvalCallback`, `disteval.predict` and `disteval.evaluate` take as data. Errors are
        raised there, on every rank.

    Example:
        >>> elements = (file_names, labels)
        >>> def pipeline(dataset):
        ...     return dataset.map(decode, num_parallel_calls=tf.data.AUTOTUNE).batch(64)
        >>> validation_data = disteval.sharded(elements, pipeline)
    """
    return Sharded(elements, pipeline)


class ShardedSource(Source):
    """Elements and a pipeline, which runs on the elements of the shard only.

    Shards consist of the batches that one device would evaluate, for exact metrics.

    Args:
        data: The elements and the pipeline.
        batched: Whether the pipeline yields batches.
        batch_size: Samples of a batch, if the pipeline does not batch.
        num_samples: Limits the elements to the first so many.
    """

    def __init__(
        self, data: Sharded, batched: bool, batch_size: int, num_samples: int | None
    ) -> None:
        self.data = data
        self.num_samples: int = min(filter(None, (num_samples, data.count)))
        self._batched = batched
        self._batch_size = batch_size
        pipelines.check(data.transformations)

    @functools.cached_property
    def batch_size(self) -> int:
        """The number of samples in each batch but the last."""
        if not self._batched:
            return self._batch_size
        sizes = [spec.shape[0] for spec in tf.nest.flatten(self.data.element_spec)]
        fixed = next(filter(None, sizes), None)
        if fixed is None:
            if self.data.batch_size is not None:
                return self.data.batch_size
            # As read by one device, whose batches the shards consist of.
            rows = num_rows(self.first_of_all())
            if rows < self.num_samples:  # else the batch may be larger with more samples
                self.data.batch_size = rows
            return rows
        if dropped := self.num_samples % fixed:
            raise DataError(
                f"`pipeline` of disteval.sharded drops the last {dropped} of {self.num_samples} "
                f"samples, since its batches all have {fixed}. Expected: a last batch of what is "
                "left; remove drop_remainder=True, or set num_samples to a multiple."
            )
        return int(fixed)

    def capacity(self) -> int:
        return self.num_samples

    def extent(self) -> str:
        return f"{self.num_samples} samples"

    def batches(self, shard: Shard) -> Iterator[tuple[int, Any]]:
        count = -(-self.num_samples // self.batch_size)
        first, last = shard.bounds(count)
        if first == last:
            return
        bounds = first * self.batch_size, min(last * self.batch_size, self.num_samples)
        yield from self._read(self.data.kept_samples_of(*bounds), *bounds)

    def first(self) -> Any:
        """Returns the first batch, read from its own elements, as any rank reads its batches.

        Raises:
            DataError: The pipeline drops or adds samples.
        """
        stop = min(self.batch_size, self.num_samples)
        ((_, batch),) = self._read(self.data.samples_of(0, stop), 0, stop)
        return batch

    def first_of_all(self) -> Any:
        """Returns the first batch, read from all elements, as one device reads it."""
        batches = self._batches(self.data.samples_of(0, self.num_samples))
        batch = self._next(batches, 0, self.num_samples)
        if batch is None:
            self._refuse_count(0, self.num_samples)
        return batch

    def samples(self) -> Iterator[tuple[Any, Any]]:
        samples = self.data.samples_of(0, self.num_samples)
        for _, batch in self._read(samples, 0, self.num_samples):
            rows = tf.nest.map_structure(on_host, batch)
            for i in range(num_rows(batch)):
                yield split_element(tf.nest.map_structure(lambda a, i=i: on_host(a[i]), rows))

    def _batches(self, samples: tf.data.Dataset) -> Iterator[Any]:
        return in_order(samples if self._batched else samples.batch(self._batch_size))

    def _read(self, samples: tf.data.Dataset, start: int, stop: int) -> Iterator[tuple[int, Any]]:
        """Yields the batches of elements `start` to `stop - 1`, each with its first sample.

        Raises:
            DataError: The pipeline failed, or did not make one sample of each element.
        """
        position, batches = start, self._batches(samples)
        while True:
            due = min(self.batch_size, stop - position)
            batch = self._next(batches, position, position + due)
            rows = 0 if batch is None else num_rows(batch)
            if rows != due:
                self._refuse_rows(position - start, rows, stop - start, batches)
            if batch is None:
                return
            yield position, batch
            position += rows

    def _next(self, batches: Iterator[Any], start: int, stop: int) -> Any:
        """Returns the next batch, of elements from `start` to `stop - 1` at most; or `None`."""
        try:
            return next(batches, None)
        except tf.errors.OpError as error:
            self._refuse_element(start, stop, error)

    def _refuse_rows(
        self, before: int, rows: int, expected: int, batches: Iterator[Any]
    ) -> NoReturn:
        following = sum(num_rows(batch) for batch in itertools.islice(batches, 1))
        if rows and following and before + rows + following <= expected:
            raise DataError(
                "The batches that `pipeline` of disteval.sharded makes differ in size. Received: "
                f"{rows} samples after batches of {self.batch_size}. Expected: the same number in "
                "each but the last, so that a rank knows which samples it holds without reading "
                f"the other batches.{pipelines.suspects(self.data.transformations)}"
            )
        self._refuse_count(before + rows + following, expected)

    def _refuse_count(self, received: int, expected: int) -> NoReturn:
        adds = received > expected
        verb, which = ("adds", "at least ") if adds else ("drops", "")
        hint = pipelines.suspects(self.data.transformations)
        if adds and not hint:
            hint = " Most likely the elements are batched: batch them in the pipeline instead."
        raise DataError(
            f"`pipeline` of disteval.sharded {verb} samples. Received: {which}{received} samples "
            f"of {expected} elements. Expected: one of each, so that sample i is made of element "
            f"i.{hint}"
        )

    def _refuse_element(self, start: int, stop: int, error: tf.errors.OpError) -> NoReturn:
        """Raises an error that names the element on which the pipeline failed."""
        for i in range(start, min(stop, start + MAX_SEARCHED)):
            try:
                for _ in self.data.samples_of(i, i + 1):
                    pass
            except tf.errors.OpError as own:
                element = next(iter(self.data.elements.skip(i)))
                shown = repr(tf.nest.map_structure(on_host, element))
                # Without the name of TensorFlow's function, and where in the graph it failed.
                reason = own.message.splitlines()[0].rpartition("}} ")[2]
                raise DataError(
                    f"`pipeline` of disteval.sharded failed on element {i}. Received: "
                    f"{shown if len(shown) <= 200 else shown[:197] + '...'}, for which it raised "
                    f"{type(own).__name__}: {reason}. Expected: a sample of each element; leave it "
                    "out of `elements`, or repair it."
                ) from error
        raise error
