"""When an evaluation is due."""

from __future__ import annotations

import numpy as np
import pytest

from disteval.errors import DistEvalError
from disteval.schedule import Schedule


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


def test_an_integer_of_numpy() -> None:
    assert due(Schedule(np.int64(2)), 4) == [2, 4]
    assert type(Schedule(np.int64(2)).log_freq) is int, "as on the other ranks"


@pytest.mark.parametrize("log_freq", ["batch", 0, -1, 1.5, True, None, np.array([1, 2]), [1]])
def test_other_frequencies_are_refused(log_freq: object) -> None:
    with pytest.raises(DistEvalError, match=r"log_freq=.*epoch"):
        Schedule(log_freq)
