"""Which samples the tables show."""

from __future__ import annotations

import numpy as np
import pytest

from disteval.errors import DistEvalError
from disteval.tables.history import Changes, Outcome
from disteval.tasks.assessment import Assessment
from disteval.tasks.rows import (
    FIXED,
    OF_CLASSES,
    RANKED,
    check_rows,
    fixed_rows,
    random_rows,
    ranked_rows,
    stratified_rows,
)


def test_first_rows() -> None:
    assert fixed_rows("first", None, 5, None).tolist() == [0, 1, 2, 3, 4]
    assert fixed_rows("first", 2, 5, None).tolist() == [0, 1]
    assert fixed_rows("first", 5, 2, None).tolist() == [0, 1]


def test_the_other_fixed_rows() -> None:
    strata = np.array([0, 0, 0, 1])
    assert fixed_rows("random", 2, 4, None).tolist() == random_rows(4, 2).tolist()
    assert fixed_rows("stratified", 2, 4, strata).tolist() == stratified_rows(strata, 2).tolist()


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


def ranked(rows: str, num_rows: int, losses: list[float], **columns: list[float]) -> list[int]:
    confidence = np.array(columns.pop("confidence", losses))
    outcome = Outcome(np.zeros(len(losses)), np.zeros(len(losses), bool), confidence)
    assessment = Assessment({}, np.array(losses), {}, outcome=outcome)
    changes = Changes({name: np.array(values) for name, values in columns.items()}, {}, None)
    return ranked_rows(rows, num_rows, assessment, changes).tolist()


def test_worst_rows_come_first() -> None:
    losses = [0.5, np.nan, 3.0, 0.1, 3.0]
    assert ranked("worst", 4, losses) == [1, 2, 4, 0]
    assert ranked("worst", 100, losses) == [1, 2, 4, 0, 3]


def test_changed_rows_come_first() -> None:
    change = [0.1, -2.0, 0.5, -0.2, np.nan]
    changed = [True, False, False, True, False]
    assert ranked("changed", 4, change, loss_change=change, changed=changed) == [3, 0, 1, 2]
    assert ranked("changed", 5, change, loss_change=change) == [1, 2, 3, 0, 4], "without classes"


def test_forgotten_and_suspect_rows_come_first() -> None:
    columns = {"times_forgotten": [0, 2, 1, 2], "mean_confidence": [0.1, 0.9, 0.2, 0.8]}
    assert ranked("forgotten", 3, [0.0] * 4, **columns) == [3, 1, 2]
    assert ranked("suspect", 3, [0.0] * 4, confidence=[0.3, 0.1, np.nan, 0.2]) == [2, 1, 3]


@pytest.mark.parametrize(
    ("rows", "num_rows", "message"),
    [
        ("best", 3, "Received: rows='best'. Expected one of 'first', 'random', 'stratified', 'wor"),
        ("worst", None, "`num_rows` is missing. Received: num_rows=None with rows='worst'."),
        ("first", 0, "`num_rows` must be positive. Received: num_rows=0."),
        ("forgotten", 5, "Unknown `rows`. Received: rows='forgotten'."),
    ],
)
def test_choices_that_there_are_not(rows: str, num_rows: int | None, message: str) -> None:
    with pytest.raises(DistEvalError, match=message):
        check_rows(rows, num_rows, (*FIXED, *RANKED), history=True)


@pytest.mark.parametrize("rows", ["changed", "forgotten"])
def test_choices_that_need_a_history(rows: str) -> None:
    with pytest.raises(DistEvalError, match=f"Received: rows='{rows}' with history=False"):
        check_rows(rows, 5, (*RANKED, *OF_CLASSES), history=False)
    check_rows("suspect", 5, (*RANKED, *OF_CLASSES), history=False)
