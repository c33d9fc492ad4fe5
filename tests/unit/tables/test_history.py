"""The history of samples equals what is computed anew from the predictions of all versions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from disteval.tables.history import Changes, History, Outcome, restore
from disteval.tables.sets import UNNAMED, SetName


def random_version(random: np.random.Generator, labels: np.ndarray, bits: int) -> Outcome:
    """Returns what a model says that is right half of the time; NaN of a diverged one."""
    confidence = random.random(len(labels))
    if random.random() < 0.2:
        confidence[random.integers(0, len(labels))] = np.nan
    correct = random.random(len(labels)) < 0.5
    if not bits:
        predicted = np.where(correct, labels, labels + 1).astype(np.int32)
        return Outcome(predicted, correct, confidence, random.random(len(labels)) < 0.1)
    predicted = random.integers(0, 3, (len(labels), bits)).astype(np.uint8)
    return Outcome(predicted, correct, confidence)


def by_brute_force(versions: Sequence[Outcome], losses: Sequence[np.ndarray]) -> dict[str, Any]:
    """Returns all columns of the newest version, from those of all versions."""
    confidence = np.nan_to_num(np.stack([version.confidence for version in versions]))
    rights = [version.correct.tolist() for version in versions]
    forgotten = [
        sum(was and not is_now for was, is_now in itertools.pairwise(sample))
        for sample in zip(*rights, strict=True)
    ]
    columns: dict[str, Any] = {
        "times_forgotten": forgotten,
        "mean_confidence": confidence.mean(axis=0),
        "variability": confidence.std(axis=0),
    }
    if len(versions) > 1:
        pairs = zip(versions[-1].predicted, versions[-2].predicted, strict=True)
        columns["changed"] = [not np.array_equal(a, b) for a, b in pairs]
        columns["loss_change"] = losses[-1].astype(float) - losses[-2].astype(float)
    return columns


def check(changes: Changes, versions: Sequence[Outcome], losses: Sequence[np.ndarray]) -> None:
    for name, column in by_brute_force(versions, losses).items():
        np.testing.assert_allclose(changes.columns[name], column, atol=1e-12, err_msg=name)
    if len(versions) == 1:
        assert changes.counts == {}, "nothing came before"
        assert changes.previous is None
        assert not changes.columns["changed"].any()
        assert np.isnan(changes.columns["loss_change"]).all()
        return
    was, is_now = versions[-2].correct, versions[-1].correct
    counts = {"fixed": (~was & is_now).sum(), "broken": (was & ~is_now).sum()}
    assert changes.counts == counts
    np.testing.assert_array_equal(changes.previous, versions[-2].predicted)


def run_in(parent: Path, started: int = 1, run_id: str = "abc", **known: Any) -> Any:
    """Returns what a history needs of a run that was started at a time."""
    directory = parent / f"run-{started}-{run_id}" / "files"
    directory.mkdir(parents=True, exist_ok=True)
    settings = {"disabled": False, "resumed": False, "summary": {}}
    return SimpleNamespace(**{"dir": str(directory), "id": run_id, **settings, **known})


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    samples=st.integers(1, 30),
    versions=st.integers(1, 8),
    bits=st.sampled_from([0, 0, 2]),
    resumed=st.sets(st.integers(1, 7)),
)
def test_history_of_any_versions(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    samples: int,
    versions: int,
    bits: int,
    resumed: set[int],
) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 5, samples)
    parent = tmp_path_factory.mktemp("runs")
    run = run_in(parent)
    history = restore(run, UNNAMED, "Task", labels.tolist(), None)
    outcomes, losses = [], []
    for number in range(versions):
        if number in resumed:  # by a process that knows nothing
            run = run_in(parent, number + 1)
            history = restore(run, UNNAMED, "Task", labels.tolist(), None)
        outcomes.append(random_version(random, labels, bits))
        losses.append(random.random(samples).astype(np.float32))
        check(history.add(losses[-1], outcomes[-1]), outcomes, losses)
        assert history.nbytes <= 64 * samples
        history.save(run, UNNAMED)


def test_tasks_without_classes() -> None:
    history = History("")
    history.add(np.array([1.0, np.nan, 3.0]), None)
    changes = history.add(np.array([0.5, 2.0, 3.0]), None)
    assert list(changes.columns) == ["loss_change"]
    np.testing.assert_array_equal(changes.columns["loss_change"], [-0.5, np.nan, 0])
    assert history.nbytes == 24
    columns = changes.of_samples(np.array([2, 0]), lambda predicted: predicted.tolist())
    assert {name: column.tolist() for name, column in columns.items()} == {"loss_change": [0, -0.5]}


def test_columns_of_some_samples() -> None:
    history = History("")
    outcome = Outcome(np.array([1, 2, 3]), np.array([True, False, True]), np.full(3, 0.5))
    names = lambda predicted: [f"class {i}" for i in predicted]  # noqa: E731
    first = history.add(np.zeros(3), outcome).of_samples(np.array([2, 0]), names)
    assert first["previous"] == [None, None]
    later = outcome._replace(predicted=np.array([1, 2, 0]), correct=np.array([True, False, False]))
    second = history.add(np.zeros(3), later).of_samples(np.array([2, 0]), names)
    assert second["previous"] == ["class 3", "class 1"]
    assert second["changed"].tolist() == [True, False]
    assert second["times_forgotten"].tolist() == [1, 0]
    assert next(iter(second)) == "previous"


def saved(run: Any, labels: Sequence[Any] = (1, 2), names: SetName = UNNAMED) -> History:
    history = restore(run, names, "Task", labels, None)
    history.add(np.zeros(len(labels)), None)
    history.save(run, names)
    return history


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    ("labels", "task", "damage", "reason"),
    [
        ((1, 3), "Task", None, "of other samples or labels"),
        ((1, 2, 3), "Task", None, "of other samples or labels"),
        ((1, 2), "Other", None, "of other samples or labels"),
        ((1, 2), "Task", b"", "is damaged"),
        ((1, 2), "Task", b"PK\x03\x04 half", "is damaged"),
    ],
)
def test_a_history_that_cannot_be_had_starts_anew(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    labels: Sequence[int],
    task: str,
    damage: bytes | None,
    reason: str,
) -> None:
    run = run_in(tmp_path)
    saved(run)
    if damage is not None:
        next(tmp_path.rglob("history.npz")).write_bytes(damage)
    history = restore(run_in(tmp_path, 2), UNNAMED, task, labels, None)
    assert history.versions == 0
    (warning,) = warnings(caplog)
    assert reason in warning
    assert "starts anew in run abc" in warning


@pytest.mark.parametrize("logged", [True, False])
def test_a_run_that_was_resumed_elsewhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, logged: bool
) -> None:
    summary = {"eval/samples_per_sec": 0.5} if logged else {}
    run = run_in(tmp_path, resumed=True, summary=summary)
    assert restore(run, UNNAMED, "Task", [1], None).versions == 0
    assert len(warnings(caplog)) == logged, "a run without versions has lost nothing"


def test_sets_and_runs_have_histories_of_their_own(tmp_path: Path) -> None:
    run, night = run_in(tmp_path), SetName("night/🌙")
    saved(run)
    saved(run)
    saved(run, names=night)
    again = run_in(tmp_path, 2)
    assert restore(again, UNNAMED, "Task", [1, 2], None).versions == 2
    assert restore(again, night, "Task", [1, 2], None).versions == 1
    other = run_in(tmp_path, 3, "other")
    assert restore(other, UNNAMED, "Task", [1, 2], saved(again)).versions == 0


def test_another_rank_was_the_chief_meanwhile(tmp_path: Path) -> None:
    mine = saved(run_in(tmp_path))
    theirs = saved(run_in(tmp_path, 2))
    assert (mine.versions, theirs.versions) == (1, 2)
    assert restore(run_in(tmp_path, 3), UNNAMED, "Task", [1, 2], mine).versions == 2
    theirs.add(np.zeros(2), None)  # and could not write it down
    assert restore(run_in(tmp_path, 3), UNNAMED, "Task", [1, 2], theirs) is theirs


def test_a_disabled_run_keeps_it_in_memory(tmp_path: Path) -> None:
    run = run_in(tmp_path, disabled=True)
    history = restore(run, UNNAMED, "Task", [1, 2], None)
    assert restore(run, UNNAMED, "Task", [1, 2], history) is history


def test_labels_of_several_arrays(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    boxes = [(np.zeros((1, 4)), np.zeros(1)), (np.ones((2, 4)), np.zeros(2))]
    saved(run, boxes)
    assert restore(run, UNNAMED, "Task", boxes, None).versions == 1
    moved = [boxes[0], (np.full((2, 4), 2.0), np.zeros(2))]
    assert restore(run, UNNAMED, "Task", moved, None).versions == 0
