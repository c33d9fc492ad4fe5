"""Rows of two tables that are of one sample."""

from __future__ import annotations

from typing import Any

import pytest

from disteval.errors import DistEvalError
from disteval.report.matching import match_rows
from disteval.report.read import StoredVersion


def version(**truth: list[Any]) -> StoredVersion:
    columns = {**truth, "prediction": ["a"] * len(next(iter(truth.values())))}
    return StoredVersion([], {}, columns, {}, truth=truth)


def picture(digest: str, folder: str = "one") -> dict[str, Any]:
    return {"_type": "image-file", "sha256": digest, "path": f"media/{folder}/{digest}.png"}


def test_rows_with_the_same_index_and_data() -> None:
    first = version(index=[5, 2, 9], label=["a", "a", "b"])
    second = version(index=[9, 5, 7], label=["b", "a", "a"])
    assert match_rows(first, second) == [(0, 1), (2, 0)]


def test_rows_of_another_order_by_what_they_show() -> None:
    first = version(index=[0, 1, 2], image=[picture(d) for d in "abc"], label=["x", "x", "y"])
    second = version(
        index=[0, 1, 2], image=[picture(d, "two") for d in "cab"], label=["y", "x", "x"]
    )
    assert match_rows(first, second) == [(0, 1), (1, 2), (2, 0)]


def test_rows_without_an_index_by_their_place() -> None:
    first, second = version(label=["a", "b", "a"]), version(label=["a", "b", "a"])
    assert match_rows(first, second) == [(0, 0), (1, 1), (2, 2)]


def test_columns_of_one_run_only_do_not_matter() -> None:
    first = version(index=[0, 1], label=["a", "b"], light=["dark", "bright"])
    second = version(index=[0, 1], label=["a", "b"])
    assert match_rows(first, second) == [(0, 0), (1, 1)]


def test_tables_without_a_ground_truth_of_their_own() -> None:
    columns = {"index": [3, 4], "label": ["a", "b"], "prediction": ["a", "a"]}
    first = StoredVersion([], {}, columns, {})
    second = StoredVersion([], {}, {**columns, "prediction": ["b", "b"]}, {})
    assert match_rows(first, second) == [(0, 0), (1, 1)]


def test_other_data_is_an_error_that_names_a_sample() -> None:
    first = version(index=[0, 1, 2], label=["a", "b", "a"])
    second = version(index=[0, 1, 2], label=["a", "a", "a"])
    message = "evaluated on other data. Received: in the column 'label' of sample 1, 'b' in the fir"
    with pytest.raises(DistEvalError, match=message):
        match_rows(first, second)


def test_other_pictures_under_the_same_labels() -> None:
    first = version(index=[0, 1], image=[picture("a"), picture("b")], label=["x", "x"])
    second = version(index=[0, 1], image=[picture("a"), picture("c")], label=["x", "x"])
    with pytest.raises(DistEvalError, match="in the column 'image' of sample 1"):
        match_rows(first, second)


def test_nothing_to_tell_samples_by() -> None:
    first, second = version(index=[0, 1]), version(index=[0, 1])
    with pytest.raises(DistEvalError, match="nothing to tell samples by"):
        match_rows(first, second)


def test_no_sample_in_common() -> None:
    first, second = version(index=[0], label=["a"]), version(index=[1, 2], label=["b", "b"])
    with pytest.raises(DistEvalError, match="tables of 1 and 2 samples"):
        match_rows(first, second)
