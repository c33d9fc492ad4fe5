"""What was evaluated is known after a restart, at whichever moment the process ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from disteval.checkpoints.files import Checkpoint
from disteval.checkpoints.record import FILE, Record
from disteval.errors import DistEvalError

RUN = {"entity": "e", "project": "p", "id": "i"}


def checkpoint(name: str, size: int = 1) -> Checkpoint:
    return Checkpoint(Path("anywhere") / name, size, 5)


def test_a_restart_goes_on(tmp_path: Path) -> None:
    first = Record(tmp_path)
    assert (first.number, first.run, first.is_interrupted) == (0, None, False)
    first.begin(checkpoint("a.keras"), RUN)
    first.end()
    first.give_up(checkpoint("broken.keras"))
    first.begin(checkpoint("b.keras"), RUN)
    again = Record(tmp_path)
    assert (again.number, again.run, again.is_interrupted) == (1, RUN, True)
    assert again.knows(checkpoint("a.keras"))
    assert again.knows(checkpoint("broken.keras"))
    assert not again.knows(checkpoint("a.keras", size=2)), "it was written again"
    assert not again.knows(checkpoint("b.keras"))
    again.end()
    assert Record(tmp_path).knows(checkpoint("b.keras"))
    assert Record(tmp_path).number == 2


def test_a_version_that_is_not_safe_is_evaluated_again(tmp_path: Path) -> None:
    record = Record(tmp_path)
    record.begin(checkpoint("a.keras"), RUN)
    record = Record(tmp_path)
    record.give_up()
    again = Record(tmp_path)
    assert (again.number, again.is_interrupted) == (0, False)
    assert not again.knows(checkpoint("a.keras"))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"run": null}', '"text"', "3"])
def test_a_damaged_file_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(DistEvalError, match=f"{FILE}.* is damaged"):
        Record(tmp_path)


def test_folders_that_cannot_be_watched(tmp_path: Path) -> None:
    with pytest.raises(DistEvalError, match="no folder to watch"):
        Record(tmp_path / "missing")
    # The place of the file that is written first is taken.
    (tmp_path / f"{FILE}.partial").mkdir()
    with pytest.raises(DistEvalError, match="cannot be written"):
        Record(tmp_path)
