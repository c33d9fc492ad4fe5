"""Which files are checkpoints, in which order, and whether they are whole."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from disteval.checkpoints.files import Checkpoint, find, is_whole
from unit.checkpoints.helpers import saved


def write(path: Path, modified: int = 0, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, ns=(modified, modified))
    return path


@pytest.mark.parametrize(
    ("file", "name", "alias"),
    [
        ("model-03.keras", "model-03", "model-03"),
        ("model.v3.weights.h5", "model.v3", "model.v3"),
        ("old.h5", "old", "old"),
        ("best.keras", "best", "checkpoint-best"),
        ("latest.weights.h5", "latest", "checkpoint-latest"),
        ("a b:c.keras", "a b:c", "a_b_c-"),
    ],
)
def test_names(file: str, name: str, alias: str, tmp_path: Path) -> None:
    checkpoint = Checkpoint.of(write(tmp_path / file))
    assert checkpoint.name == name
    assert checkpoint.alias.startswith(alias)
    assert not set(checkpoint.alias) & set(" :/")


def test_the_oldest_comes_first_and_names_count(tmp_path: Path) -> None:
    for name, modified in {"a.keras": 3, "m-10.keras": 2, "m-9.keras": 2, "z.h5": 1}.items():
        write(tmp_path / name, modified)
    for name in (".hidden.keras", "notes.txt", "model.keras.partial", "empty/file.txt"):
        write(tmp_path / name)
    write(tmp_path / "folder" / "saved_model.pb", 4)
    found = [each.path.name for each in find(tmp_path)]
    assert found == ["z.h5", "m-9.keras", "m-10.keras", "a.keras", "folder"]


def test_another_state_of_a_file_is_another_checkpoint(tmp_path: Path) -> None:
    path = write(tmp_path / "best.keras", 1)
    first = Checkpoint.of(path)
    assert first.is_unchanged()
    write(path, 2)
    assert not first.is_unchanged()
    second = Checkpoint.of(path)
    write(path, 2, "longer")
    assert not second.is_unchanged()
    path.unlink()
    assert not second.is_unchanged()


@pytest.mark.parametrize("name", ["model.keras", "model.weights.h5"])
def test_half_a_file_is_not_whole(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    saved(path)
    assert is_whole(path)
    content = path.read_bytes()
    for part in (0.1, 0.5, 0.99):
        path.write_bytes(content[: int(len(content) * part)])
        assert not is_whole(path), part


def test_a_file_of_weights_that_is_being_written_is_not_whole(tmp_path: Path) -> None:
    path = tmp_path / "model.weights.h5"
    program = (
        "import h5py, sys; file = h5py.File(sys.argv[1], 'w'); file['a'] = list(range(10000)); "
        "file.flush(); print('open', flush=True); sys.stdin.read(); file.close()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as writer:  # fmt: skip
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        assert not is_whole(path)
        writer.communicate()
    assert is_whole(path)
