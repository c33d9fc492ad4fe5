"""Names of classes, labels as class numbers, and metrics by class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from disteval.errors import DataError, DistEvalError
from disteval.tasks.classes import by_class, check_count, checked_names, class_number


@pytest.mark.parametrize(
    "names", [["a", "b"], ("a", "b"), np.array(["a", "b"]), [0, 1], range(2), [1.5, 2.5]]
)
def test_names(names: Any) -> None:
    found = checked_names(names)
    assert found == list(names)
    assert type(found[0]) in (str, int, float)
    check_count(found, 2)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ({"cat", "dog"}, "A set has no order"),
        (frozenset("ab"), "A set has no order"),
        ({0: "cat"}, "A mapping has no class numbers"),
        ("cat", "must be a list"),
        (3, "must be a list"),
        (iter(["a"]), "must be a list"),
        ([[1]], "a name of type list"),
        ([None], "a name of type NoneType"),
        ([b"a"], "a name of type bytes"),
        ([], "no name"),
        (["a", "a"], "'a' more than once"),
        ([1, "1"], "'1' more than once"),
    ],
)
def test_what_are_no_names(names: Any, told: str) -> None:
    with pytest.raises(DistEvalError, match=rf"`class_names` .*{told}"):
        checked_names(names)


def test_a_name_for_each_class() -> None:
    with pytest.raises(DataError, match="2 class_names for a model of 3 classes"):
        check_count(["a", "b"], 3)


@pytest.mark.parametrize("label", [2, [2], 2.0, [0, 0, 1], [0.1, 0.2, 0.7], [False, False, True]])
def test_class_numbers(label: Any) -> None:
    assert class_number(np.asarray(label), 3) == 2


@pytest.mark.parametrize("label", [3, -1, 1.5, np.nan, np.inf])
def test_what_is_no_class_number(label: Any) -> None:
    with pytest.raises(DataError, match=r"not a class number.*Expected: 0 to 2"):
        class_number(np.asarray(label), 3)


@pytest.mark.parametrize("label", [[0, 0, 0], [1, 0, 1], [0.5, 0.5, 0], [np.nan, 1, 0], [-1, 0, 0]])
def test_what_is_not_one_hot(label: Any) -> None:
    with pytest.raises(DataError, match=r"not one-hot.*multi_label=True"):
        class_number(np.asarray(label), 3)


def test_metrics_by_class() -> None:
    assert by_class("recall", [0.5, 1.0], ["a", "b"]) == {"recall/a": 0.5, "recall/b": 1.0}
    assert len(by_class("recall", range(50), range(50))) == 50
    assert by_class("recall", range(51), range(51)) == {}
