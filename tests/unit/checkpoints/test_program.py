"""The command in one process: what a factory may return, and what is said of failures."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import pytest
import wandb

import disteval
from disteval.checkpoints import program
from disteval.errors import DistEvalError
from unit.checkpoints.helpers import X, Y, build, saved


@pytest.fixture(autouse=True)
def _offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DIR", "DATA_DIR", "CACHE_DIR", "CONFIG_DIR"):
        monkeypatch.setenv(f"WANDB_{name}", str(tmp_path))
    monkeypatch.setenv("WANDB_MODE", "offline")
    wandb.teardown()  # W&B reads its settings once.


@pytest.fixture
def factory(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType("factory_of_the_test")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def arguments(factory: str, *checkpoints: Path, **options: Any) -> argparse.Namespace:
    defaults = {
        "watch": None, "until": None, "idle": None, "replicas": None, "backend": "auto",
        "name": None, "group": None, "json": False,
    }  # fmt: skip
    names = [str(path) for path in checkpoints]
    return argparse.Namespace(factory=factory, checkpoints=names, **defaults | options)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (3, "Received: 3 from"),
        ((1, 2, 3), "returned something else"),
        (lambda: None, "returned something else"),
    ],
)
def test_factories_that_return_something_else(
    made: Any, message: str, factory: types.ModuleType
) -> None:
    factory.make = lambda: made
    with pytest.raises(DistEvalError, match=message):
        program.make("factory_of_the_test:make")


@pytest.mark.parametrize(
    "name", ["factory_of_the_test", "factory_of_the_test:other", "no_such_module:make", "", ":make"]
)
def test_factories_that_cannot_be_imported(name: str, factory: types.ModuleType) -> None:
    with pytest.raises(DistEvalError, match=r"cannot be imported.*evaluation:make"):
        program.make(name)


def test_a_factory_whose_callback_has_no_data(factory: types.ModuleType) -> None:
    class Plain(disteval.DistEvalCallback):
        def add_ground_truth(self, logs: Any = None) -> None: ...
        def add_model_predictions(self, epoch: int, logs: Any = None) -> None: ...

    factory.make = lambda: Plain(["x"], ["y"])
    with wandb.init(), pytest.raises(DistEvalError, match="validation_data=None"):
        program.make("factory_of_the_test:make")


def test_nothing_to_evaluate_or_too_much(tmp_path: Path) -> None:
    for args in (arguments("f:f"), arguments("f:f", tmp_path, watch=tmp_path)):
        with pytest.raises(DistEvalError, match="Expected: paths of checkpoints, or --watch"):
            program.run(args)


def test_a_watcher_alone_ends(tmp_path: Path) -> None:
    for options in ({"until": "a"}, {"idle": 3.0}):
        with pytest.raises(DistEvalError, match="Only a watcher ends"):
            program.run(arguments("f:f", tmp_path, **options))
    for seconds in (-1.0, float("nan")):
        with pytest.raises(DistEvalError, match=f"--idle {seconds}"):
            program.run(arguments("f:f", watch=tmp_path, idle=seconds))


def test_failures_are_named_and_the_others_go_on(
    factory: types.ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    factory.make = lambda: (disteval.RegressionEval((X, Y)), build)
    good, weights = tmp_path / "good.keras", tmp_path / "good.weights.h5"
    model = saved(good)
    model.save_weights(weights)
    broken, other = tmp_path / "broken.keras", tmp_path / "other.weights.h5"
    broken.write_text("no checkpoint")
    saved(other, units=3)
    missing = tmp_path / "missing.keras"
    with caplog.at_level(logging.WARNING, "disteval"):
        args = arguments("factory_of_the_test:make", good, broken, other, missing, weights)
        assert program.run(args) == 1
    said = [record.message for record in caplog.records if record.name == "disteval"]
    assert [text.split(": ")[0] for text in said[:3]] == [
        f"{path} could not be evaluated" for path in (broken, other, missing)
    ]
    assert said[3] == "3 of 5 checkpoints could not be evaluated."
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split()[:3] == ["checkpoint", "loss", "mae"]
    assert [row.split()[0] for row in rows] == [str(good), str(weights)]
    loss = model.evaluate(X, Y, verbose=0, return_dict=True)["loss"]
    assert [float(row.split()[1]) for row in rows] == pytest.approx([loss] * 2, rel=1e-4)
    assert wandb.run is None


def test_a_folder_is_evaluated_once(
    factory: types.ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    factory.make = lambda: disteval.RegressionEval((X, Y))
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for i in (1, 2):
        saved(folder / f"model-{i}.keras")
    args = arguments("factory_of_the_test:make", watch=folder, until="model-2")
    assert program.run(args) == 0
    rows = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]
    assert rows == [str(folder / "model-1.keras"), str(folder / "model-2.keras")]
    assert program.run(args) == 0
    assert capsys.readouterr().out == ""


def test_a_watcher_names_what_cannot_be_loaded_and_skips_what_is_gone(
    factory: types.ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    pruned = folder / "model-2.weights.h5"

    def build_late() -> Any:
        pruned.unlink()  # as a training does that keeps only its newest checkpoints
        return build()

    factory.make = lambda: (disteval.RegressionEval((X, Y)), build_late)
    with zipfile.ZipFile(folder / "model-1.keras", "w") as file:
        file.writestr("config.json", "{}")
    for i, name in enumerate(("model-2", "model-3")):
        saved(folder / f"{name}.weights.h5")
        os.utime(folder / f"{name}.weights.h5", ns=(i, i))
    args = arguments("factory_of_the_test:make", watch=folder, until="model-1")
    with caplog.at_level(logging.WARNING, "disteval"):
        assert program.run(args) == 1
    said = [record.message for record in caplog.records if record.name == "disteval"]
    assert said[0].startswith(f"{pruned} was removed or written again, and is skipped: ")
    assert said[1].startswith(f"{folder / 'model-1.keras'} could not be evaluated: ")
    assert said[2] == "1 of 3 checkpoints could not be evaluated."
    rows = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]]
    assert rows == [str(folder / "model-3.weights.h5")]
    # Neither is tried again.
    assert program.run(args) == 0
