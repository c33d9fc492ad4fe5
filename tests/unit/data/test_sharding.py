"""Which part of the data is a rank's, and a replica's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from disteval.data.sharding import Pace, Shard, join, parts, shard_bounds


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
def test_unequal_shards_cover_each_sample_once(samples: int, shares: list[float]) -> None:
    shards = [Shard(rank, len(shares), tuple(shares)) for rank in range(len(shares))]
    bounds = [shard.bounds(samples) for shard in shards]
    assert [start for start, _ in bounds] == [0, *(stop for _, stop in bounds[:-1])]
    assert bounds[-1][1] == samples
    for (start, stop), share in zip(bounds, shares, strict=True):
        assert abs(stop - start - samples * share / sum(shares)) <= 1.001


@given(
    st.lists(st.integers(1, 10**6), max_size=200),
    st.lists(st.floats(0.01, 100), min_size=1, max_size=8),
)
def test_shards_of_equal_work(work: list[int], shares: list[float]) -> None:
    total = sum(work)
    bounds = [
        Shard(rank, len(shares), tuple(shares)).bounds(len(work), np.array(work, np.int64))
        for rank in range(len(shares))
    ] if work else []  # fmt: skip
    assert [i for start, stop in bounds for i in range(start, stop)] == list(range(len(work)))
    for (start, stop), share in zip(bounds, shares, strict=False):
        off = abs(sum(work[start:stop]) - total * share / sum(shares))
        assert off <= max(work) + 1e-6 * total


@given(
    st.lists(st.integers(1, 10**6), min_size=1, max_size=200),
    st.lists(st.floats(0.01, 100), min_size=1, max_size=8),
)
def test_turns_by_work(work: list[int], shares: list[float]) -> None:
    turns = [Shard(rank, len(shares), tuple(shares)).turns() for rank in range(len(shares))]
    taken = np.array([[each.takes(item) for each in turns] for item in work])
    assert (taken.sum(axis=1) == 1).all(), "each item is that of one rank"
    done = (taken * np.array(work)[:, np.newaxis]).sum(axis=0) / np.array(shares)
    # Whoever took the last item of a rank would not have been done with it earlier.
    for rank in range(len(shares)):
        if taken[:, rank].any():
            last = work[int(np.flatnonzero(taken[:, rank])[-1])]
            assert done[rank] <= ((done * shares + last) / shares).min() * (1 + 1e-9)


def test_equal_items_go_round() -> None:
    turns = Shard(1, 3).turns()
    assert [turns.takes(7) for _ in range(7)] == [False, True, False] * 2 + [False]


@given(st.integers(0, 100), st.integers(1, 8))
def test_parts_cover_each_item_once_and_none_is_empty(count: int, num_parts: int) -> None:
    bounds = parts(count, num_parts)
    assert [i for start, stop in bounds for i in range(start, stop)] == list(range(count))
    assert len(bounds) == min(count, num_parts)
    assert all(stop > start for start, stop in bounds)


def test_a_call_grows_until_it_takes_half_a_second() -> None:
    pace = Pace()
    assert pace.batches(1000) == 1
    pace.took(1, 0.001, 10)
    assert pace.batches(1000) == 8, "not at once, since the first calls are slow"
    pace.took(8, 0.4, 10)
    assert pace.batches(1000) == 10
    assert pace.batches(16 << 20) == 2, "limited by the memory of the inputs"
    pace.took(8, 0.004, 8 << 20)
    assert pace.batches(1000) == 4, "limited by the memory of the outputs"


def test_batches_are_joined_with_the_numbers_of_their_samples() -> None:
    segment = join([(4, np.arange(2)), (np.array([9, 7, 8]), np.arange(3))])
    assert segment.index.tolist() == [4, 5, 9, 7, 8]
    assert segment.offsets.tolist() == [0, 2, 5]
    assert np.asarray(segment.batch).tolist() == [0, 1, 0, 1, 2]
