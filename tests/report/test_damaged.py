"""Damaged and hostile runs: a page of what is whole, or one line that names the file."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from disteval.errors import DistEvalError
from disteval.report.build import build_report
from disteval.report.page import render
from disteval.report.pictures import Pictures
from disteval.report.read import Run, StoredVersion, read_run
from report.running import log_run

MUTATIONS = 60


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small offline run in three epochs."""
    folder = tmp_path_factory.mktemp("sound")
    log_run(folder, "--rows", 6)
    return folder


@pytest.fixture
def run(sound: Path, tmp_path: Path) -> Path:
    """The directory of a copy of the run; its log names files of the original."""
    (directory,) = sound.glob("wandb/offline-run-*")
    copy = tmp_path / "wandb" / directory.name
    shutil.copytree(directory, copy)
    return copy


def report(directory: Path) -> str:
    """Returns the page, or the error, which is one line."""
    try:
        text = build_report(directory, directory / "page.html").read_text()
    except DistEvalError as error:
        text = str(error)
    assert text.startswith("<!doctype html>") or "\n" not in text
    return text


@pytest.mark.parametrize("seed", range(MUTATIONS))
def test_any_damage_of_the_log(run: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    (log,) = run.glob("*.wandb")
    data = bytearray(log.read_bytes())
    kind = seed % 4
    if kind == 0:  # some bytes are others
        for place in random.integers(0, len(data), 1 + seed // 8):
            data[place] = random.integers(0, 256)
    elif kind == 1:  # the end is missing
        del data[random.integers(1, len(data)) :]
    elif kind == 2:  # zeros in the middle
        start = random.integers(7, len(data))
        data[start : start + 500] = bytes(len(data[start : start + 500]))
    else:  # a piece is missing
        start = random.integers(7, len(data))
        del data[start : start + random.integers(1, 3000)]
    log.write_bytes(data)
    assert report(run)


def test_zeros_at_the_end_of_a_log(run: Path) -> None:
    (log,) = run.glob("*.wandb")
    assert len(read_run(run).versions) == 3
    with log.open("ab") as file:
        file.truncate(log.stat().st_size + 64_000_000)
    assert len(read_run(run).versions) == 3


@pytest.mark.parametrize("kind", ["pipe", "zero", "folder", "link to nothing"])
def test_a_log_that_is_no_file(run: Path, kind: str) -> None:
    (log,) = run.glob("*.wandb")
    log.unlink()
    make: dict[str, Callable[[], Any]] = {
        "pipe": lambda: os.mkfifo(log),
        "zero": lambda: log.symlink_to("/dev/zero"),
        "folder": log.mkdir,
        "link to nothing": lambda: log.symlink_to("/nowhere/at/all"),
    }
    make[kind]()
    assert str(log) in report(run)


CELLS: list[Any] = [
    None, -1, "x" * 400, [], {}, {"_type": "image-file"}, {"_type": "image-file", "path": 3},
    {"_type": "image-file", "path": "../../etc/passwd"}, float("nan"), [[[]]], True,
]  # fmt: skip


def boxes(*corners: Any) -> dict[str, Any]:
    names = ("minX", "minY", "maxX", "maxY")
    position = dict(zip(names, corners, strict=True))
    return {"predictions": [{"position": position, "class_id": 1, "domain": "pixel"}]}


@pytest.mark.parametrize(
    "layer",
    [
        boxes(10, 2, 3, 9), boxes(1e7, 1e7, 2e7, 2e7), boxes(float("nan"), 0, 1, 1),
        boxes("a", 0, 1, 1), {"predictions": [3, {}, {"position": []}]}, {"predictions": 7}, [],
    ],
)  # fmt: skip
def test_boxes_of_any_numbers(layer: Any, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    Image.new("RGB", (40, 30)).save(path)
    pictures = Pictures(1)
    cell = {"_type": "image-file", "path": "a.png", "boxes": layer}
    for number in pictures.add(cell, {"a.png": path}):
        assert pictures.found[number][1].startswith("data:image/")


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: str(cell)[:20])
def test_cells_of_any_kind(cell: Any, tmp_path: Path) -> None:
    for column in ("image", "label", "prediction", "confidence", "index"):
        columns: dict[str, list[Any]] = {
            "index": [0, 1], "label": ["a", "b"], "prediction": ["a", "b"], "confidence": [0.5, 1],
            "image": [None, None],
        }  # fmt: skip
        columns[column][0] = cell
        version = StoredVersion([], {}, columns, {})
        page = render(Run(tmp_path, "id", "name", "project", None, [version]), 10)
        assert "passwd" not in page or "root:" not in page


def test_a_file_that_is_not_the_one_that_was_logged(tmp_path: Path) -> None:
    """A log may name any file of this machine, such as a private one."""
    directory = log_run(tmp_path, "--rows", 4, "--epochs", 1)
    assert report(directory).startswith("<!doctype html>")
    tables = [path for path in tmp_path.glob("artifacts/staging/**/*") if path.is_file()]
    assert tables
    for path in tables:
        path.chmod(0o600)
        path.write_text(json.dumps({"private": True}))
    text = report(directory)
    assert "private" not in text
    assert not text.startswith("<!doctype html>")
