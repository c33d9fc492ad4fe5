"""Jobs with random faults: fixed seeds, of which some have found something before."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.invariants import broken
from chaos.jobs import run_job
from chaos.schedules import FATAL, Schedule, draw
from multiproc.disks import can_mount

SEEDS = [*range(12), 669559]


def test_a_seed_gives_the_same_schedule_each_time() -> None:
    schedules = [draw(seed) for seed in range(500)]
    assert schedules == [draw(seed) for seed in range(500)]
    assert schedules == [Schedule.from_json(schedule.to_json()) for schedule in schedules]
    # Everything that can be drawn is drawn.
    assert len({schedule.engine for schedule in schedules}) == 7
    assert len({schedule.data for schedule in schedules}) == 5
    kinds = {fault.kind for schedule in schedules for fault in schedule.faults}
    assert kinds == {*FATAL, "stop", "clock", "slow", "server", "fill", "empty"}
    assert all(fault.rank < s.size for s in schedules for fault in s.faults)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_broken(seed: int, tmp_path: Path) -> None:
    schedule = draw(seed)
    if schedule.needs_disk and not can_mount():
        pytest.skip("mounting a small disk needs root")
    outcome = run_job(schedule, tmp_path)
    assert not broken(schedule, outcome), outcome.output
