"""The evaluator as a program: each checkpoint has one version, equal to its saved model."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

import examples
from multiproc.launching import LAUNCH, launch
from multiproc.running import BIN, SCRIPTS, SINGLE, TESTS, Launch, check, run
from wandb_backend.fixture import WandbBackend

FACTORY = "checkpoints_factory:make"
EPOCHS = 4


def training(folder: Path) -> subprocess.Popen[str]:
    """Starts a training beside the test."""
    script = SCRIPTS / "checkpoints_train.py"
    command = [sys.executable, str(script), str(folder), str(EPOCHS), ".keras"]
    path = os.pathsep.join([str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
    env = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder with checkpoints, and what each of them predicts."""
    folder = tmp_path_factory.mktemp("checkpoints")
    output, _ = training(folder).communicate()
    return folder, json.loads(output.splitlines()[-1])


def client(backend: WandbBackend) -> dict[str, str]:
    return backend.client_env("client") | {"WANDB_ENTITY": "tester", "WANDB_PROJECT": "tables"}


def rows(output: str) -> list[dict[str, Any]]:
    """Returns the lines of JSON of the chief."""
    lines = [line.partition(">:")[2] or line for line in output.splitlines()]
    return [json.loads(line) for line in lines if line.startswith('{"checkpoint"')]


def check_versions(backend: WandbBackend, expected: dict[str, Any]) -> None:
    """Each checkpoint has one version, in order, which equals its saved model."""
    (run_id,) = [name.split("/")[-1] for name in backend.state()["runs"]]
    output = check("read_tables.py", run_id, env=backend.client_env("reader"))
    versions = json.loads(output.splitlines()[-1])["predictions"]
    assert sorted(versions) == [f"v{i}" for i in range(len(expected))]
    for i, (name, saved) in enumerate(expected.items()):
        table = versions[f"v{i}"]
        assert {name, f"epoch_{i}"} <= set(table["aliases"])
        assert ("latest" in table["aliases"]) == (i == len(expected) - 1)
        column = table["columns"].index("prediction")
        found = [row[column] for row in table["rows"]]
        assert found == pytest.approx(saved["predictions"], abs=1e-5)
        losses = {name: each["metrics"]["loss"] for name, each in expected.items()}
        best = min(losses.values())
        if "best" in table["aliases"]:
            assert losses[name] == pytest.approx(best)


def test_checkpoints_that_are_named(
    trained: tuple[Path, dict[str, Any]], wandb_backend: WandbBackend
) -> None:
    folder, expected = trained
    paths = [folder / f"{name}.keras" for name in expected]
    broken = folder.parent / "broken.keras"
    broken.write_bytes(paths[0].read_bytes()[:-100])
    done = run(
        "checkpoints_evaluate.py", "never", "evaluate", FACTORY, paths[0], broken, *paths[1:],
        "--json", "--name", "all of them", "--group", "training",
        launch=("horovod", 2), env=client(wandb_backend), cwd=folder.parent,
    )  # fmt: skip
    # A checkpoint that cannot be loaded is named, and the others go on.
    assert done.returncode == 1, done.stdout
    assert f"{broken} could not be evaluated: " in done.stdout
    assert "1 of 5 checkpoints could not be evaluated" in done.stdout
    found = rows(done.stdout)
    assert [row["checkpoint"] for row in found] == [str(path) for path in paths]
    for row, saved in zip(found, expected.values(), strict=True):
        for name, value in saved["metrics"].items():
            assert row["metrics"][name] == pytest.approx(value, abs=1e-6)
        assert row["metrics"]["eval/mae"] == pytest.approx(saved["metrics"]["mae"], abs=1e-6)
    (started,) = wandb_backend.state()["runs"].values()
    assert (started["name"], started["group"]) == ("all of them", "training")


@pytest.mark.timeout(900)
def test_a_folder_is_watched_while_a_training_writes_there(
    tmp_path: Path, wandb_backend: WandbBackend
) -> None:
    folder, last = tmp_path / "checkpoints", f"model-{EPOCHS:02d}"
    folder.mkdir()
    env = client(wandb_backend)
    arguments = ["evaluate", FACTORY, "--watch", folder, "--until", last, "--json"]
    seen = []
    with training(folder) as trains:
        # Killed while nothing is at work, before an evaluation, and after its version is safe.
        moments = ("before:begin:2", "after:begin:1", "before:end:1")
        launches: list[Launch] = [SINGLE, SINGLE, ("horovod", 2)]
        for moment, way in zip(moments, launches, strict=True):
            done = run(
                "checkpoints_evaluate.py", moment, *arguments, launch=way, env=env, cwd=tmp_path
            )
            assert done.returncode != 0
            seen += [row["checkpoint"] for row in rows(done.stdout)]
        output, _ = trains.communicate()
    half = folder / "model-99.keras"
    half.write_bytes(b"half of a checkpoint")
    done = run(
        "checkpoints_evaluate.py", "never", *arguments, launch=("horovod", 2), env=env,
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    seen += [row["checkpoint"] for row in rows(done.stdout)]
    expected = json.loads(output.splitlines()[-1])
    # What was evaluated but not yet recorded is not evaluated again.
    assert seen == [str(folder / f"{name}.keras") for name in expected]
    check_versions(wandb_backend, expected)
    # It is done, and a restart finds that out at once.
    assert rows(check("checkpoints_evaluate.py", "never", *arguments, env=env)) == []


def test_saved_models_of_keras_2(tmp_path: Path, wandb_backend: WandbBackend) -> None:
    env = client(wandb_backend) | {"TF_USE_LEGACY_KERAS": "1"}
    output = check("checkpoints_train.py", tmp_path, 2, "", env=env)  # folders, without an ending
    expected = json.loads(output.splitlines()[-1])
    paths = [tmp_path / name for name in expected]
    found = rows(
        check("checkpoints_evaluate.py", "never", "evaluate", FACTORY, *paths, "--json", env=env)
    )
    losses = [each["metrics"]["loss"] for each in expected.values()]
    assert [row["metrics"]["loss"] for row in found] == pytest.approx(losses, abs=1e-6)


def test_the_launcher_of_horovod(
    trained: tuple[Path, dict[str, Any]], tmp_path: Path, wandb_backend: WandbBackend
) -> None:
    folder, expected = trained
    name = next(iter(expected))
    path = os.pathsep.join([str(SCRIPTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
    output = launch(
        "horovod.sh", "-np", "2", "--script", LAUNCH / "evaluate.py", FACTORY,
        folder / f"{name}.keras", "--json", env=client(wandb_backend) | {"PYTHONPATH": path},
    )  # fmt: skip
    (row,) = rows(output)
    assert row["metrics"]["loss"] == pytest.approx(expected[name]["metrics"]["loss"], abs=1e-6)


def test_files_of_weights_and_a_pruned_folder(
    trained: tuple[Path, dict[str, Any]], tmp_path: Path, wandb_backend: WandbBackend
) -> None:
    source, expected = trained
    names = list(expected)
    for name in names[1:3]:
        model = tf.keras.models.load_model(source / f"{name}.keras")
        model.save_weights(tmp_path / f"{name}.weights.h5")
    output = check(
        "checkpoints_evaluate.py", "never", "evaluate", "checkpoints_factory:make_with_build",
        "--watch", tmp_path, "--idle", "3", launch=("mirrored", 2), env=client(wandb_backend),
    )  # fmt: skip
    assert [line.split()[0] for line in output.splitlines() if ".weights.h5" in line] == [
        str(tmp_path / f"{name}.weights.h5") for name in names[1:3]
    ]
    check_versions(wandb_backend, {name: expected[name] for name in names[1:3]})


@pytest.mark.timeout(900)
def test_the_example_of_the_readme(tmp_path: Path) -> None:
    blocks = examples.read(TESTS.parent / "README.md")
    (code,) = [block.text for block in blocks if "in evaluation.py" in block.text]
    (commands,) = [block.text for block in blocks if "disteval evaluate" in block.text]
    data = "from sklearn.datasets import load_digits\nimport disteval\n" + (
        "digits = load_digits()\nx, y = digits.images[..., None] / 15, digits.target\n"
    )
    (tmp_path / "evaluation.py").write_text(data + code)
    layers = tf.keras.layers
    (tmp_path / "checkpoints").mkdir()
    for name in ("model-01", "model-02"):
        model = tf.keras.Sequential(
            [tf.keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(10, "softmax")]
        )
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.save(tmp_path / "checkpoints" / f"{name}.keras")
    offline = {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path), "WANDB_DATA_DIR": str(tmp_path)}
    path = os.pathsep.join([str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
    small = {"OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": path}
    for command in commands.splitlines():
        done = subprocess.run(
            shlex.split(command),
            env=os.environ | offline | small | {"PATH": f"{BIN}:{os.environ['PATH']}"},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout
        header, *rows = [
            line for line in done.stdout.splitlines() if re.search("loss|model-", line)
        ]
        assert "eval/accuracy" in header, done.stdout
        assert len([row for row in rows if "checkpoints/model-0" in row]) >= 2, done.stdout
