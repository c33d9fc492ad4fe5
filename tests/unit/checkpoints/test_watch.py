"""The next checkpoint of a folder: in order, whole, none left out."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import pytest

from disteval.checkpoints import watch
from disteval.checkpoints.files import Checkpoint
from disteval.checkpoints.record import Record
from disteval.checkpoints.watch import Watcher
from unit.checkpoints.helpers import saved


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("model") / "model.keras"
    saved(path)
    return path.read_bytes()


RUN = {"entity": "e", "project": "p", "id": "i"}


class Folder:
    """A folder that is watched."""

    def __init__(self, path: Path, until: str | None = None, idle: float | None = None) -> None:
        self.path = path
        self.watcher = Watcher(path, Record(path), until, idle)

    def write(self, name: str, content: bytes, modified: int) -> None:
        (self.path / name).write_bytes(content)
        os.utime(self.path / name, ns=(modified, modified))

    def next(self) -> str | None:
        found = self.watcher.poll(RUN)
        return None if found is None else found.path.name

    def evaluate(self) -> str | None:
        """Polls until something can be evaluated, or nothing has changed."""
        name = self.next() or self.next()
        if name is not None:
            self.watcher.done(Checkpoint.of(self.path / name), succeeded=True)
        return name


def test_checkpoints_come_in_order_and_once(tmp_path: Path, whole: bytes) -> None:
    folder = Folder(tmp_path)
    for i in (2, 1, 3):
        folder.write(f"model-{i}.keras", whole, i)
    assert [folder.evaluate() for _ in range(4)] == [
        "model-1.keras", "model-2.keras", "model-3.keras", None,
    ]  # fmt: skip
    folder.write("model-1.keras", whole, 9)  # written again
    assert folder.evaluate() == "model-1.keras"


def test_a_file_that_changes_is_waited_for(tmp_path: Path, whole: bytes) -> None:
    folder = Folder(tmp_path)
    folder.write("a.keras", whole, 1)
    assert folder.next() is None, "it may still be written"
    folder.write("a.keras", whole, 2)
    assert folder.next() is None
    assert folder.next() == "a.keras"


def test_newer_ones_wait_for_a_half_written_one(
    tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Folder(tmp_path)
    folder.write("a.keras", whole[:-9], 1)
    folder.write("b.keras", whole, 2)
    assert folder.evaluate() is None
    assert caplog.messages == []
    monkeypatch.setattr(watch, "ABANDONED_SECONDS", 0.0)
    with caplog.at_level(logging.WARNING, "disteval"):
        assert folder.evaluate() == "b.keras"
        assert folder.evaluate() is None
    (text,) = caplog.messages
    assert "a.keras is half-written" in text
    folder.write("a.keras", whole, 3)
    assert folder.evaluate() == "a.keras", "it is whole after all"


def test_what_is_removed_is_named(
    tmp_path: Path, whole: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Folder(tmp_path)
    folder.write("a.keras", whole, 1)
    assert folder.next() is None
    (tmp_path / "a.keras").unlink()
    with caplog.at_level(logging.WARNING, "disteval"):
        assert folder.next() is None
    assert caplog.messages == [f"{tmp_path / 'a.keras'} was removed before it was evaluated."]


@pytest.mark.parametrize("until", ["b", "b.keras"])
def test_the_last_one_is_named(until: str, tmp_path: Path, whole: bytes) -> None:
    folder = Folder(tmp_path, until=until)
    for i, name in enumerate("abc"):
        folder.write(f"{name}.keras", whole, i)
    assert folder.evaluate() == "a.keras"
    assert not folder.watcher.has_ended
    assert folder.evaluate() == "b.keras"
    assert folder.watcher.has_ended
    assert folder.next() is None
    assert Folder(tmp_path, until=until).watcher.has_ended, "also after a restart"


def test_a_failure_is_recorded_unless_the_file_has_changed(tmp_path: Path, whole: bytes) -> None:
    folder = Folder(tmp_path, until="a")
    folder.write("a.keras", whole, 1)
    assert [folder.next() for _ in range(2)] == [None, "a.keras"]
    first = Checkpoint.of(tmp_path / "a.keras")
    folder.write("a.keras", whole, 2)
    folder.watcher.done(first, succeeded=False)
    assert not folder.watcher.has_ended
    assert [folder.next() for _ in range(2)] == [None, "a.keras"]
    assert folder.watcher.record.is_interrupted
    assert folder.watcher.record.run == RUN
    folder.watcher.done(Checkpoint.of(tmp_path / "a.keras"), succeeded=False)
    assert folder.watcher.has_ended
    again = Record(tmp_path)
    assert (again.number, again.is_interrupted) == (0, False)
    assert again.knows(Checkpoint.of(tmp_path / "a.keras"))


def test_an_idle_folder_ends(tmp_path: Path, whole: bytes) -> None:
    folder = Folder(tmp_path, idle=0.0)
    folder.write("a.keras", whole, 1)
    # However long it takes until the first poll, what is there comes first.
    assert folder.evaluate() == "a.keras"
    while not folder.watcher.has_ended:
        assert folder.evaluate() is None
    assert folder.next() is None
    shutil.rmtree(tmp_path)
