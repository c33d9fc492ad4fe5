"""`python -m disteval doctor` finds each trap, planted in a process of its own."""

from __future__ import annotations

import importlib.metadata
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from wandb_backend.fixture import WandbBackend

TOP = Path(__file__).resolve().parents[2]


def doctor(*args: str, stubs: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    paths = [str(path) for path in (stubs, TOP) if path]
    return subprocess.run(
        [sys.executable, "-m", "disteval", "doctor", *args],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)} | env,
        cwd=stubs,
        capture_output=True,
        text=True,
        timeout=280,
    )


def examine(**kwargs: Any) -> tuple[int, dict[str, Any], dict[str, dict[str, Any]]]:
    """Returns the exit status, the facts, and the traps by name."""
    done = doctor("--json", **kwargs)
    answer = json.loads(done.stdout)
    return done.returncode, answer["facts"], {trap["name"]: trap for trap in answer["traps"]}


def plant(folder: Path, name: str, text: str = "") -> None:
    """Makes a package that comes before the installed one, and cannot be imported."""
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(text or f'raise ImportError("{name} is broken")\n')


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture(scope="module")
def ill(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Any, Any]:
    """All traps that do not hide each other, in one examination."""
    folder = tmp_path_factory.mktemp("ill")
    plant(folder, "horovod")
    (folder / "numpy-1.2.3.dist-info").mkdir()
    metadata = "Metadata-Version: 2.1\nName: numpy\nVersion: 1.2.3\n"
    (folder / "numpy-1.2.3.dist-info/METADATA").write_text(metadata)
    return examine(
        stubs=folder,
        PATH=str(folder),  # neither compiler nor cmake
        WANDB_MODE="online",
        WANDB_BASE_URL=f"http://127.0.0.1:{closed_port()}",
        WANDB_API_KEY="not-a-real-key" * 3,
        TF_CONFIG='{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}',
    )


def test_traps_make_the_status_1(ill: tuple[int, Any, Any]) -> None:
    assert ill[0] == 1


@pytest.mark.parametrize(
    ("trap", "text", "advice"),
    [
        ("numpy", "1.2.3", "pip install 'numpy"),
        ("build-tools", "c++, cmake, make", "apt install"),
        ("wandb-server", "does not answer", "WANDB_MODE=offline"),
    ],
)
def test_finds(trap: str, text: str, advice: str, ill: tuple[int, Any, Any]) -> None:
    found = ill[2][trap]
    assert text in found["text"]
    assert advice in found["advice"]


def test_says_what_auto_would_choose(ill: tuple[int, Any, Any]) -> None:
    backend = ill[1]["backend"]
    assert backend["name"] == "multiworker"
    assert "rank 1 of 2" in backend["reason"]
    assert "horovod is broken" in ill[1]["horovod"]["error"]
    assert ill[1]["selftest"].startswith("not run")


def test_survives_a_tensorflow_that_cannot_be_imported(tmp_path: Path) -> None:
    plant(tmp_path, "tensorflow")
    done = doctor(stubs=tmp_path, WANDB_MODE="disabled")
    assert done.returncode == 1
    assert "tensorflow is broken" in done.stdout
    assert "bash launch/setup.sh" in done.stdout
    assert not done.stderr


def test_finds_a_wandb_without_pillow(tmp_path: Path) -> None:
    plant(tmp_path, "PIL")
    status, _, traps = examine(stubs=tmp_path, WANDB_MODE="disabled")
    assert status == 1
    assert "pip install" in traps["pillow"]["advice"]


def test_finds_a_python_without_distutils(tmp_path: Path) -> None:
    pytest.importorskip("horovod", reason="bash launch/setup.sh --horovod")
    plant(tmp_path, "distutils")
    status, facts, traps = examine(
        stubs=tmp_path,
        WANDB_MODE="offline",
        SETUPTOOLS_USE_DISTUTILS="stdlib",  # setuptools' own would come first
    )
    assert status == 1
    assert facts["selftest"].startswith("failed")
    assert "setuptools" in traps["distutils"]["advice"]


def test_a_healthy_machine(wandb_backend: WandbBackend) -> None:
    status, facts, traps = examine(**wandb_backend.client_env("doctor"))
    assert status == 0, traps
    assert facts["tensorflow"] == importlib.metadata.version("tensorflow")
    assert facts["wandb_server"] == f"{wandb_backend.url} answers"
    assert facts["devices"]
    if "version" in facts["horovod"]:
        assert facts["horovod"]["features"]
        assert facts["selftest"].startswith("two ranks evaluated")
        assert ("keras-3" in traps) == facts["tf.keras"].startswith("keras 3")
        assert "DistributedGradientTape" in traps["keras-3"]["advice"]
