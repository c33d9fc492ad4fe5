"""Metrics of slices, from the metadata of a version to the page."""

from __future__ import annotations

from typing import Any

from disteval.report.read import StoredVersion
from disteval.report.slices import encode_slices, slice_names
from disteval.tables.sets import slug

HOSTILE = "<script>" * 50


def version(**metrics: list[Any]) -> StoredVersion:
    part = {"slice": "light", "value": HOSTILE, "samples": 3, "metrics": metrics}
    return StoredVersion([], {"slices": [part]}, {}, {})


def test_metrics_with_and_without_an_interval() -> None:
    (part,) = encode_slices(version(accuracy=[0.5, 0.4, 0.6], f1=[1 / 3], ece=[0.1]))
    assert part["metrics"]["accuracy"] == [0.5, 0.4, 0.6, True]
    assert part["metrics"]["f1"] == [0.333333, None, None, True]
    assert part["metrics"]["ece"] == [0.1, None, None, False]
    assert part["value"] == HOSTILE[:299] + "\N{HORIZONTAL ELLIPSIS}", "as in the column"


def test_metrics_that_are_no_numbers_are_left_out() -> None:
    (part,) = encode_slices(version(r2=["nan"], mae=[0.5, "nan", 1.0]))
    assert part["metrics"] == {}


def test_names_in_the_run() -> None:
    key = f"eval/f1/light={slug(HOSTILE)}"
    assert slice_names(version(f1=[0.5])) == {key, f"{key}/low", f"{key}/high"}
    assert slice_names(StoredVersion([], {}, {}, {})) == set()
