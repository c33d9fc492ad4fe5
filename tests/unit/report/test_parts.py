"""The directories of one run belong together, and those of others do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from disteval.errors import DistEvalError
from disteval.report.parts import find_run, read_parts
from unit.report.offline import log_part, warnings

FIRST, SECOND, THIRD = "20260102_030405", "20260102_040506", "20260103_000000"


def test_the_newest_run_is_found_by_its_time(tmp_path: Path) -> None:
    for name in ("offline-run-20260102_030405-b", "run-20260102_030406-a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.wandb").touch()
    assert find_run(tmp_path).name == "run-20260102_030406-a"
    with pytest.raises(DistEvalError, match="no W&B run"):
        find_run(tmp_path / "nothing")


def test_each_directory_leads_to_all_parts_in_order(folder: Path) -> None:
    later, _ = log_part(SECOND, {1: [0.5, 0.6]})
    # Named by an earlier time, as when clocks go back: what W&B wrote into it counts.
    last, _ = log_part(FIRST, {2: [0.7, 0.8]})
    log_part(THIRD, {0: [0.1, 0.2]}, run_id="other")
    log_part(THIRD, {0: [0.1, 0.2]}, project="another")
    for directory in (later, last):
        parts = read_parts(directory)
        assert [part.directory for part in parts] == [later.resolve(), last.resolve()]
        assert [row[("eval/epoch",)] for part in parts for row in part.history] == [1, 2]
        assert [len(part.artifacts) for part in parts] == [2, 2]


def test_a_damaged_part_is_left_out_with_a_warning(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole, _ = log_part(FIRST, {0: [0.1, 0.2]})
    damaged, _ = log_part(SECOND, {1: [0.5, 0.6]})
    (path,) = damaged.glob("*.wandb")
    content = bytearray(path.read_bytes())
    content[100] ^= 0xFF
    path.write_bytes(content)
    assert [part.directory for part in read_parts(whole)] == [whole.resolve()]
    (message,) = warnings(caplog)
    assert message.startswith("A part of the run is left out")
    assert str(path.resolve()) in message
    with pytest.raises(DistEvalError, match="The log of a run is damaged"):
        read_parts(damaged)


def test_a_part_that_ended_at_once_leads_to_the_others(folder: Path) -> None:
    earlier, _ = log_part(FIRST, {0: [0.1, 0.2]})
    empty, _ = log_part(SECOND, {})
    (empty / "run-resumed.wandb").write_bytes(b"")
    directories = [part.directory for part in read_parts(find_run(folder))]
    assert sorted(directories) == [earlier.resolve(), empty.resolve()]
    assert [part.directory for part in read_parts(earlier)] == [earlier.resolve()]
