"""When an evaluation is due, and which version is the best."""

from __future__ import annotations

import math

import pytest

from disteval.errors import DistEvalError
from disteval.schedule import Monitor, Schedule


def due(schedule: Schedule, batches: int, epochs: int = 1, every: int = 1) -> list[int]:
    """The training batches after which an evaluation is due; Keras reports each `every`-th."""
    found = []
    for _ in range(epochs):
        schedule.start_epoch()
        for batch in [*range(every - 1, batches - 1, every), batches - 1]:
            if schedule.is_due(batch):
                found.append(schedule.batches)
    return found


def test_by_epoch_no_batch_is_due() -> None:
    schedule = Schedule("epoch")
    assert schedule.by_epoch
    assert due(schedule, 10, epochs=2) == []
    assert schedule.batches == 20


def test_batches_are_counted_over_epochs() -> None:
    assert due(Schedule(3), 10) == [3, 6, 9]
    assert due(Schedule(4), 10, epochs=2) == [4, 8, 12, 16, 20]
    assert due(Schedule(7), 3, epochs=5) == [7, 14]
    assert due(Schedule(1), 2, epochs=2) == [1, 2, 3, 4]


def test_counting_goes_on_after_batches_that_others_trained() -> None:
    schedule = Schedule(3)
    schedule.resume(7)
    assert due(schedule, 6) == [9, 12]
    schedule.resume(9)
    assert due(schedule, 3) == [12]


def test_epochs_without_a_begin_are_noticed() -> None:
    schedule = Schedule(3)
    assert [b for _ in range(2) for b in range(4) if schedule.is_due(b)] == [2, 1]
    assert schedule.batches == 8


def test_steps_per_execution_report_the_last_of_several() -> None:
    # Of 10 batches, 3, 6, 9 and 10 are reported.
    assert due(Schedule(3), 10, every=3) == [3, 6, 9]
    assert due(Schedule(4), 10, every=3) == [6, 10]
    assert due(Schedule(2), 10, every=5) == [5, 10]


@pytest.mark.parametrize("log_freq", ["batch", 0, -1, 1.5, True, None])
def test_other_frequencies_are_refused(log_freq: object) -> None:
    with pytest.raises(DistEvalError, match=r"log_freq=.*epoch"):
        Schedule(log_freq)


def best(monitor: Monitor, *values: float) -> list[bool]:
    return [monitor.is_best({"value": value, monitor.monitor or "": value}) for value in values]


def test_the_best_is_better_than_all_before() -> None:
    assert best(Monitor("loss"), 3, 2, 2, 4, 1) == [True, True, False, False, True]
    assert best(Monitor("loss", "max"), 3, 2, 4) == [True, False, True]
    assert best(Monitor(None), 3, 2) == [False, False]


@pytest.mark.parametrize("name", ["accuracy", "val_acc", "val_auc", "mean_iou", "f1_score"])
def test_auto_maximizes_what_grows(name: str) -> None:
    assert best(Monitor(name), 0.1, 0.2, 0.1) == [True, True, False]


@pytest.mark.parametrize("name", ["loss", "val_loss", "mae"])
def test_auto_minimizes_everything_else(name: str) -> None:
    assert best(Monitor(name), 0.1, 0.2, 0.05) == [True, False, True]


def test_nan_is_never_the_best() -> None:
    assert best(Monitor("loss"), math.nan, 2, math.nan, 1) == [False, True, False, True]


def test_a_missing_value_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    monitor = Monitor("val_loss")
    assert [monitor.is_best({"loss": 1.0}) for _ in range(3)] == [False] * 3
    (record,) = caplog.records
    assert "val_loss" in record.getMessage()
    assert "loss" in record.getMessage()


def test_other_modes_are_refused() -> None:
    with pytest.raises(DistEvalError, match="mode='best'"):
        Monitor("loss", "best")
