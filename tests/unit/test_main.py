"""Commands start without what they do not need, and say what is wrong in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import disteval

TOP = Path(__file__).resolve().parents[2]
# Runs a command as `python -m disteval` does, and says which modules it loaded.
LOADED = """
import atexit, runpy, sys
packages = lambda: {name.partition(".")[0] for name in sys.modules}
atexit.register(lambda: sys.stderr.write("loaded " + " ".join(sorted(packages()))))
runpy.run_module("disteval", run_name="__main__", alter_sys=True)
"""
# Logs a run with one version of a prediction table.
LOG = """
import wandb
with wandb.init(project="small", mode="offline") as run:
    artifact = wandb.Artifact(f"run_{run.id}_pred", "evaluation", metadata={"epoch": 0})
    rows = [[0, "a", "a"], [1, "b", "a"]]
    artifact.add(wandb.Table(["index", "label", "prediction"], rows), "eval_data")
    run.log_artifact(artifact)
"""


def python(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs Python with this package, and more variables."""
    path = os.pathsep.join([env.pop("first", ""), str(TOP)]).strip(os.pathsep)
    return subprocess.run(
        [sys.executable, *args],
        env=os.environ | {"PYTHONPATH": path} | env,
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.fixture
def offline(tmp_path: Path) -> dict[str, str]:
    """Variables with which W&B keeps to a directory."""
    names = ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_ARTIFACT_DIR")
    return dict.fromkeys(names, str(tmp_path)) | {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}


def test_starting_imports_neither_tensorflow_nor_wandb() -> None:
    code = "import json, sys, disteval.__main__; print(json.dumps(list(sys.modules)))"
    loaded = set(json.loads(python("-c", code).stdout))
    assert "disteval.doctor.report" in loaded
    assert not loaded & {"tensorflow", "keras", "tf_keras", "wandb", "horovod", "numpy"}


def test_report_loads_no_tensorflow(tmp_path: Path, offline: dict[str, str]) -> None:
    done = python("-c", LOG, **offline)
    assert done.returncode == 0, done.stderr
    page = tmp_path / "report.html"
    done = python("-c", LOADED, "report", str(tmp_path / "wandb"), "-o", str(page), **offline)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{page} (")
    assert '"prediction"' in page.read_text()
    loaded = done.stderr.rpartition("loaded ")[2].split()
    assert "wandb" in loaded
    assert not {"tensorflow", "keras", "tf_keras", "horovod"} & set(loaded)


def test_compare_loads_no_tensorflow(tmp_path: Path, offline: dict[str, str]) -> None:
    for _ in range(2):
        done = python("-c", LOG, **offline)
        assert done.returncode == 0, done.stderr
    runs = sorted(map(str, (tmp_path / "wandb").glob("offline-run-*")))
    page = tmp_path / "compared.html"
    done = python("-c", LOADED, "compare", *runs, "-o", str(page), "--json", **offline)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["outcomes"]["broken"] == 0
    assert page.exists()
    loaded = done.stderr.rpartition("loaded ")[2].split()
    assert not {"tensorflow", "keras", "tf_keras", "horovod"} & set(loaded)


@pytest.mark.parametrize("command", ["upload", "report"])
def test_an_error_is_one_line_and_needs_no_tensorflow(
    command: str, tmp_path: Path, offline: dict[str, str]
) -> None:
    done = python("-c", LOADED, command, str(tmp_path), **offline)
    assert done.returncode == 1
    error, _, loaded = done.stderr.rpartition("loaded ")
    assert str(tmp_path) in error
    assert error.count("\n") == 1
    assert "tensorflow" not in loaded.split()


def test_the_doctor_runs_where_nothing_else_can_be_imported(tmp_path: Path) -> None:
    for name in ("tensorflow", "keras", "wandb", "horovod", "numpy", "PIL", "jinja2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f'raise ImportError("{name} is broken")\n')
    done = python("-m", "disteval", "doctor", "--json", first=str(tmp_path))
    assert done.returncode == 1
    traps = {trap["name"] for trap in json.loads(done.stdout)["traps"]}
    assert traps == {"import", "pillow"}


def test_version() -> None:
    done = python("-m", "disteval", "--version")
    assert done.stdout == f"{disteval.__version__}\n"


@pytest.mark.parametrize(
    "arguments", [[], ["examine"], ["upload"], ["report", "--rows", "many"], ["compare", "one"]]
)
def test_wrong_usage(arguments: list[str]) -> None:
    done = python("-m", "disteval", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: python -m disteval")
