"""From a run's directory to the versions of its predictions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from disteval.errors import DistEvalError
from disteval.report.parts import Part
from disteval.report.read import (
    Run,
    StoredVersion,
    _add_history,
    _read_versions,
    read_run,
)
from disteval.report.transactions import StoredArtifact
from unit.report.offline import LABELS, log_part, warnings

FIRST, SECOND, THIRD = "20260102_030405", "20260102_040506", "20260103_000000"


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


def test_a_part_online_and_a_part_offline(folder: Path) -> None:
    log_part(FIRST, {0: [0.1, 0.2], 1: [0.3, 0.4]}, keep=True)
    directory, _ = log_part(SECOND, {1: [0.3, 0.4], 2: [0.5, 0.6]})
    run = read_run(directory)
    assert scores(run) == [(0, [0.1, 0.2], 0.1), (1, [0.3, 0.4], 0.3), (2, [0.5, 0.6], 0.5)]


@pytest.mark.parametrize("keep", [False, True])
def test_no_version_comes_twice(keep: bool, folder: Path) -> None:
    log_part(FIRST, {0: [0.1, 0.2], 1: [0.3, 0.4]}, keep=keep)
    directory, _ = log_part(SECOND, {0: [0.1, 0.2], 2: [0.3, 0.4]}, keep=keep)
    shutil.copytree(directory, directory.with_name(f"copy-of-run-{SECOND}-resumed"))
    run = read_run(directory)
    # Another epoch may predict the same.
    assert scores(run) == [(0, [0.1, 0.2], 0.1), (1, [0.3, 0.4], 0.3), (2, [0.3, 0.4], 0.3)]
    assert all(version.columns["label"] == LABELS for version in run.versions)


def test_a_version_that_is_logged_again_gets_the_aliases(folder: Path) -> None:
    log_part(FIRST, {0: [0.1, 0.2], 1: [0.3, 0.4]})
    directory, _ = log_part(SECOND, {0: [0.1, 0.2]})
    aliases = [set(version.aliases) for version in read_run(directory).versions]
    assert aliases == [{"latest", "epoch_0", "best"}, {"epoch_1"}]


def test_ground_truth_is_found_by_its_id(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, data = log_part(FIRST, {0: [0.1, 0.2]})
    second, _ = log_part(SECOND, {1: [0.3, 0.4]}, labels=LABELS[::-1])
    third, _ = log_part(THIRD, {2: [0.5, 0.6]}, data=data)
    labels = [version.columns["label"] for version in read_run(third).versions]
    assert labels == [LABELS, LABELS[::-1], LABELS]
    assert warnings(caplog) == []
    first.rename(folder / "away")
    with pytest.raises(DistEvalError, match="The ground truth of a table is not on this machine"):
        read_run(third)
    assert [version.metadata["epoch"] for version in read_run(second).versions] == [1]
    (message,) = warnings(caplog)
    assert message.startswith(f"The predictions in {third} are left out: The ground truth")


def test_part_whose_tables_are_gone_is_left_out_unless_it_was_asked_for(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, _ = log_part(FIRST, {0: [0.1, 0.2]})
    (folder.parent / "artifacts").rename(folder / "moved")
    second, _ = log_part(SECOND, {1: [0.3, 0.4]})
    assert scores(read_run(second)) == [(1, [0.3, 0.4], 0.3)]
    (message,) = warnings(caplog)
    assert message.startswith(f"The predictions in {first} are left out: A table of the run is no")
    with pytest.raises(DistEvalError, match="no longer on this machine"):
        read_run(first)


def test_predictions_without_their_pictures_are_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = {"columns": ["score"], "data": [[0.1]], "column_types": {"params": {"type_map": {}}}}
    path = tmp_path / "eval_data.table.json"
    path.write_text(json.dumps(table))
    artifact = StoredArtifact("run_a_pred", "evaluation", [], {}, {path.name: path}, ["a.png"])
    artifact.lost = artifact.references
    ((_, version),) = _read_versions(Part(tmp_path, artifacts=[artifact]), 0, None)
    assert version.columns == {"score": [0.1]}
    assert warnings(caplog) == [
        f"1 tables in {tmp_path} are shown without their ground truth, which is not on this "
        "machine."
    ]


def test_damaged_table(folder: Path) -> None:
    directory, _ = log_part(FIRST, {0: [0.1, 0.2]}, keep=True)
    (path,) = directory.rglob("eval_data.table.json")
    path.write_text(path.read_text()[:-9])
    with pytest.raises(DistEvalError, match=r"eval_data\.table\.json is damaged: "):
        read_run(directory)
