"""A `PyDataset`: its batches, and the threads that read it."""

from __future__ import annotations

import threading
import time
from concurrent import futures
from typing import Any

import numpy as np
import pytest

from disteval.data.coercion import as_source
from disteval.data.sharding import WHOLE, Shard
from disteval.errors import DataError
from sample_data import Batches

X = np.arange(180, dtype=np.float32).reshape(60, 3)
Y = np.arange(60)[::-1].copy()


def test_an_empty_py_dataset_is_refused() -> None:
    with pytest.raises(DataError, match=r"empty PyDataset.*at least one batch"):
        as_source(Batches((X, Y), []))


@pytest.mark.parametrize(("sizes", "wrong"), [([4, 3, 4], 1), ([4, 4, 5], 2), ([2, 4], 1)])
def test_uneven_batches_of_a_py_dataset_are_refused(sizes: list[int], wrong: int) -> None:
    source = as_source(Batches((X, Y), sizes))
    with pytest.raises(
        DataError,
        match=f"Batch {wrong} of the PyDataset has {sizes[wrong]} samples and batch 0 has "
        f"{sizes[0]}.*the same number in each but the last",
    ):
        list(source.batches(WHOLE))


class Slow(Batches):
    """Batches that several threads read at once, as lists, and the later ones sooner."""

    def __init__(self, sizes: list[int], workers: int) -> None:
        super().__init__((X, Y), sizes)
        self.workers = workers
        self.together = threading.Barrier(workers)

    def __getitem__(self, i: int) -> Any:
        if i and i <= self.workers:  # batch 0 is read before, alone
            self.together.wait(timeout=20)
        return list(super().__getitem__(i))


def test_a_py_dataset_is_read_by_as_many_threads_as_it_asks_for() -> None:
    dataset = Slow([2] * 7, workers=3)
    index, batches = zip(*as_source(dataset).batches(Shard(1, 2)), strict=True)
    assert list(index) == [8, 10, 12]
    whole = list(as_source(Batches((X, Y), [2] * 7)).batches(Shard(1, 2)))
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

    source = as_source(Alone((X, Y), [2] * 10))
    # The hooks may read samples in the background of the next evaluation.
    with futures.ThreadPoolExecutor(2) as pool:
        reads = [pool.submit(lambda: list(source.samples())) for _ in range(2)]
    assert [len(read.result()) for read in reads] == [20, 20]
