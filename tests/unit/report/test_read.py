"""From a run's directory to the versions of its predictions."""

from __future__ import annotations

from pathlib import Path

from disteval.report.read import Run, StoredVersion, _add_history, _join, read_run
from unit.report.offline import LABELS, keep_part, log_part

FIRST, SECOND = "20260102_030405", "20260102_040506"


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


def scores(run: Run) -> list[tuple[int, list[float], float]]:
    """Returns the epoch of each version, its scores, and the loss that was logged with it."""
    return [(v.metadata["epoch"], v.columns["score"], v.scalars["eval/loss"]) for v in run.versions]


def test_a_resumed_run_is_one_run(folder: Path) -> None:
    first, data = log_part(FIRST, {0: [0.1, 0.2], 1: [0.3, 0.4]})
    # Epoch 1 is evaluated again, with another result; the second part refers to the first one's
    # ground truth.
    second, _ = log_part(SECOND, {1: [0.5, 0.6], 2: [0.7, 0.8]}, data=data)
    log_part(SECOND, {9: [0.9, 0.9]}, run_id="other")
    expected = [
        (0, [0.1, 0.2], 0.1), (1, [0.3, 0.4], 0.3), (1, [0.5, 0.6], 0.5), (2, [0.7, 0.8], 0.7),
    ]  # fmt: skip
    for directory in (first, second):
        run = read_run(directory)
        assert (run.id, run.project) == ("resumed", "p")
        assert scores(run) == expected
        assert all(version.columns["label"] == LABELS for version in run.versions)
        assert [version.part for version in run.versions] == [0, 0, 1, 1]


def test_one_version_is_the_best_and_one_the_latest(folder: Path) -> None:
    """All were logged as the best when they were; W&B moves an alias to the newest one."""
    log_part(FIRST, {0: [0.1, 0.2], 1: [0.3, 0.4]})
    directory, _ = log_part(SECOND, {2: [0.5, 0.6]})
    aliases = [set(version.aliases) for version in read_run(directory).versions]
    assert aliases == [{"epoch_0"}, {"epoch_1"}, {"latest", "epoch_2", "best"}]


def test_no_version_comes_twice(folder: Path) -> None:
    first, data = log_part(FIRST, {0: [0.1, 0.2], 1: [0.3, 0.4]})
    log_part(SECOND, {1: [0.3, 0.4], 2: [0.3, 0.4]}, data=data)
    versions = read_run(first).versions
    assert [version.metadata["epoch"] for version in versions] == [0, 1, 2]
    assert [version.columns["score"] for version in versions] == [[0.1, 0.2], *[[0.3, 0.4]] * 2]


def test_parts_that_online_runs_kept(folder: Path) -> None:
    parts = [log_part(time, {})[0] for time in (FIRST, SECOND)]
    keep_part(parts[0], {0: [0.1, 0.2]})
    keep_part(parts[1], {1: [0.3, 0.4]})
    versions = read_run(parts[0]).versions
    assert [version.columns["score"] for version in versions] == [[0.1, 0.2], [0.3, 0.4]]
    assert [version.columns["label"] for version in versions] == [LABELS, LABELS]
