"""Names of sets are legal in W&B, and stay apart."""

from __future__ import annotations

import re
from typing import Any

import pytest

from disteval.errors import DistEvalError
from disteval.tables.sets import SetName

HOSTILE = [
    "<script>alert(1)</script>",
    "a/b",
    "a_b",
    "a b",
    "x" * 300,
    "x" * 301,
    "🌙",
    "☀",
    "../x",
]


def test_a_named_set() -> None:
    night = SetName("night")
    assert night.artifact("run_1_pred") == "run_1_pred_night"
    assert night.value("accuracy") == "eval/night/accuracy"
    assert night.log("loss") == "val_night_loss"
    assert night.step("on_train_begin") == "on_train_begin of the set 'night'"


def test_without_a_name_all_is_as_in_the_base_class() -> None:
    names = SetName()
    assert names.artifact("val") == "val"
    assert names.value("accuracy") == "eval/accuracy"
    assert names.log("loss") == "val_loss"
    assert names.step("on_train_begin") == "on_train_begin"


def test_hostile_names_are_legal_and_stay_apart() -> None:
    slugs = [SetName(name).slug for name in HOSTILE]
    assert len(set(slugs)) == len(HOSTILE)
    for slug in slugs:
        assert re.fullmatch(r"[A-Za-z0-9_.-]{1,80}", slug)
    assert "a_b" in slugs


@pytest.mark.parametrize("name", ["", " ", 3, b"night", ["night"]])
def test_what_is_no_name(name: Any) -> None:
    with pytest.raises(DistEvalError, match="`name` is no name of a set"):
        SetName(name)
