"""Datasets are read in order, and their end is not waited for."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import tensorflow as tf

from disteval.data.reading import in_order

SECONDS = 60  # until a test that hangs fails


def test_elements_come_in_order() -> None:
    dataset = tf.data.Dataset.range(1000).map(
        lambda i: i * 2, num_parallel_calls=8, name="parallel"
    )
    assert [int(i) for i in in_order(dataset)] == list(range(0, 2000, 2))


def test_an_error_comes_after_the_elements_before_it() -> None:
    dataset = tf.data.Dataset.range(4).map(lambda i: tf.debugging.check_numerics(4 / (i - 2), "no"))
    elements = in_order(dataset)
    assert [float(next(elements)) for _ in range(2)] == [-2, -4]
    with pytest.raises(tf.errors.InvalidArgumentError, match="no"):
        next(elements)


class Ending:
    """Stands for a dataset whose iterator takes long to end, which TensorFlow's own does rarely."""

    def __init__(self) -> None:
        self.may_end, self.has_ended = threading.Event(), threading.Event()

    def with_options(self, options: tf.data.Options) -> Ending:
        assert options.deterministic
        return self

    def prefetch(self, count: int) -> Ending:
        return self

    def __iter__(self) -> Any:
        return EndingIterator(self)


class EndingIterator:
    def __init__(self, dataset: Ending) -> None:
        self.dataset, self.numbers = dataset, iter(range(3))

    def __iter__(self) -> EndingIterator:
        return self

    def __next__(self) -> int:
        return next(self.numbers)

    def __del__(self) -> None:
        assert self.dataset.may_end.wait(SECONDS)
        self.dataset.has_ended.set()


@pytest.mark.parametrize("count", [2, 4])
def test_the_end_of_an_iterator_is_not_waited_for(count: int) -> None:
    dataset: Any = Ending()
    elements = in_order(dataset)
    assert [next(elements, None) for _ in range(count)] == [0, 1, 2, None][:count]
    elements.close()  # type: ignore[attr-defined]
    assert not dataset.has_ended.is_set()
    dataset.may_end.set()
    assert dataset.has_ended.wait(SECONDS)
