"""From a run's directory to the versions of its predictions."""

from __future__ import annotations

from pathlib import Path

import pytest

from disteval.errors import DistEvalError
from disteval.report.read import StoredVersion, _add_history, _join, find_run


def version(epoch: int) -> StoredVersion:
    return StoredVersion([], {"epoch": epoch}, {}, {})


def test_history_goes_to_the_version_of_its_epoch(tmp_path: Path) -> None:
    versions = [version(0), version(1)]
    history = [
        {("eval/epoch",): 0, ("eval/loss",): 2.0},
        {("eval/epoch",): 0, ("eval/f1",): 0.5},  # the same evaluation, logged in two steps
        {("loss",): 9.0},
        {("eval/epoch",): 1, ("eval/loss",): 1.0, ("eval/plot", "path"): "x"},
    ]
    _add_history(versions, history, tmp_path)
    assert versions[0].scalars == {"eval/loss": 2.0, "eval/f1": 0.5}
    assert versions[1].scalars == {"eval/loss": 1.0}


def test_two_evaluations_of_an_epoch_stay_apart(tmp_path: Path) -> None:
    versions = [version(0), version(0)]
    history = [{("eval/epoch",): 0, ("eval/loss",): value} for value in (2.0, 1.0)]
    _add_history(versions, history, tmp_path)
    assert [each.scalars for each in versions] == [{"eval/loss": 2.0}, {"eval/loss": 1.0}]


def test_rows_are_joined_by_the_foreign_key_or_in_order() -> None:
    data = {"label": ["a", "b", "c"]}
    by_key = {"score": [1, 2]}
    _join(by_key, [2, 0], data)
    assert by_key["label"] == ["c", "a"]
    in_order = {"score": [1, 2, 3]}
    _join(in_order, None, data)
    assert in_order["label"] == ["a", "b", "c"]
    chosen = {"score": [1, 2]}
    _join(chosen, None, data)
    assert "label" not in chosen


def test_the_newest_run_is_found_by_its_time(tmp_path: Path) -> None:
    for name in ("offline-run-20260102_030405-b", "run-20260102_030406-a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.wandb").touch()
    assert find_run(tmp_path).name == "run-20260102_030406-a"
    with pytest.raises(DistEvalError, match="no W&B run"):
        find_run(tmp_path / "nothing")
