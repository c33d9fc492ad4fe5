"""Which samples the tables show."""

from __future__ import annotations

import numpy as np
import pytest

from disteval.errors import DistEvalError
from disteval.tasks.rows import (
    check_rows,
    first_rows,
    random_rows,
    stratified_rows,
    worst_rows,
)


def test_first_rows() -> None:
    assert first_rows(5, None).tolist() == [0, 1, 2, 3, 4]
    assert first_rows(5, 2).tolist() == [0, 1]
    assert first_rows(2, 5).tolist() == [0, 1]


def test_random_rows_are_fixed_and_in_order() -> None:
    chosen = random_rows(1000, 50)
    assert chosen.tolist() == random_rows(1000, 50).tolist()
    assert len(set(chosen.tolist())) == 50
    assert (np.diff(chosen) > 0).all()
    assert chosen.max() > 500
    assert random_rows(3, 50).tolist() == [0, 1, 2]


def test_stratified_rows_have_each_class_once_and_then_in_proportion() -> None:
    strata = np.repeat([0, 1, 2, 3], [900, 90, 9, 1])
    np.random.default_rng(1).shuffle(strata)
    few = strata[stratified_rows(strata, 4)]
    assert sorted(few.tolist()) == [0, 1, 2, 3]
    many = np.bincount(strata[stratified_rows(strata, 100)])
    assert many.tolist() == [89, 9, 1, 1]
    every = stratified_rows(strata, 5000)
    assert every.tolist() == list(range(1000))


def test_fewer_rows_than_strata() -> None:
    chosen = stratified_rows(np.arange(100), 10)
    assert len(set(chosen.tolist())) == 10


def test_worst_rows_come_first() -> None:
    losses = np.array([0.5, np.nan, 3.0, 0.1, 3.0])
    assert worst_rows(losses, 4).tolist() == [1, 2, 4, 0]
    assert worst_rows(losses, 100).tolist() == [1, 2, 4, 0, 3]


@pytest.mark.parametrize(
    ("rows", "num_rows", "message"),
    [
        (
            "best",
            3,
            "Received: rows='best'. Expected one of 'first', 'worst', 'random', 'stratified'.",
        ),
        ("worst", None, "`num_rows` is missing. Received: num_rows=None with rows='worst'."),
        ("first", 0, "`num_rows` must be positive. Received: num_rows=0."),
    ],
)
def test_choices_that_there_are_not(rows: str, num_rows: int | None, message: str) -> None:
    with pytest.raises(DistEvalError, match=message):
        check_rows(rows, num_rows)
