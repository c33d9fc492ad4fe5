"""What is remembered in the directories of a run."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

from disteval.tables.run_folder import find_newest, own_folder, write_json


def run_in(parent: Path, name: str) -> SimpleNamespace:
    directory = parent / name / "files"
    directory.mkdir(parents=True)
    return SimpleNamespace(dir=str(directory), id=name.rpartition("-")[2])


def test_the_newest_file_of_the_run(tmp_path: Path) -> None:
    names = ("run-20260101_000000-abc", "offline-run-20260102_000000-abc", "run-20260103_0-other")
    runs = [run_in(tmp_path, name) for name in names]
    assert find_newest(runs[0], "a.json") is None
    for run in runs:
        write_json(own_folder(run) / "a.json", run.dir)
    newest = run_in(tmp_path, "run-20260104_000000-abc")
    found = find_newest(newest, "a.json")
    assert found is not None
    assert json.loads(found.read_text()) == runs[1].dir, "neither that of another run, nor older"


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", [1])
    write_json(tmp_path / "a.json", [2])
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert json.loads((tmp_path / "a.json").read_text()) == [2]
