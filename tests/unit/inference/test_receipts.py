"""Receipts: what they say, and that they add up."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from disteval.errors import DataError, DistEvalError
from disteval.inference import receipts
from disteval.inference.receipts import Stride


@pytest.mark.parametrize(
    ("index", "receipt"),
    [
        ([], []),
        ([0], [Stride(0, 1, 0, 1)]),
        ([5, 6, 7], [Stride(5, 3, 0, 1)]),
        ([0, 1, 6, 7, 12, 13], [Stride(0, 2, 6, 3)]),  # batches of 2, in turn with 2 other ranks
        ([0, 1, 6, 7, 12], [Stride(0, 2, 6, 2), Stride(12, 1, 0, 1)]),  # a smaller last batch
        ([1, 3, 5, 7], [Stride(1, 1, 2, 4)]),
        ([4, 2, 0], [Stride(4, 1, -2, 3)]),
    ],
)
def test_receipt_of_typical_shards(index: list[int], receipt: list[Stride]) -> None:
    assert receipts.write(np.array(index, np.int64)) == receipt


@given(st.lists(st.integers(0, 60), unique=True))
def test_receipt_is_read_as_written(index: list[int]) -> None:
    receipt = receipts.write(np.array(index, np.int64))
    assert receipts.read(receipt).tolist() == index
    assert receipts.count(receipt) == len(index)


@given(st.permutations(range(40)), st.integers(1, 5))
def test_shards_in_any_order_add_up(order: list[int], ranks: int) -> None:
    shards = [receipts.write(np.array(order[rank::ranks])) for rank in range(ranks)]
    assert receipts.check(shards) == 40


@given(st.permutations(range(20)), st.integers(0, 19))
def test_missing_and_repeated_samples_are_found(order: list[int], position: int) -> None:
    missing = [sample for sample in order if sample != order[position]]
    if order[position] != 19:  # without the last one, there are just fewer samples
        with pytest.raises(DistEvalError, match=f"sample {order[position]} is missing"):
            receipts.check([receipts.write(np.array(missing))])
    twice = [receipts.write(np.array(order)), receipts.write(np.array([order[position]]))]
    with pytest.raises(DistEvalError, match="evaluated twice"):
        receipts.check(twice)


def test_no_sample_at_all() -> None:
    with pytest.raises(DataError, match="empty"):
        receipts.check([[], []])


@pytest.mark.parametrize(("index", "runs"), [([], True), ([3, 4, 5], True), ([0, 2], False)])
def test_a_run_is_one_contiguous_range(index: list[int], runs: bool) -> None:
    assert receipts.is_run(receipts.write(np.array(index, np.int64))) == runs


def test_the_example_of_the_module_is_right() -> None:
    assert doctest.testmod(receipts).failed == 0
