"""`python -m disteval doctor` finds each trap, planted in a process of its own."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from wandb_backend.fixture import WandbBackend

TOP = Path(__file__).resolve().parents[3]
HAS_HOROVOD = importlib.util.find_spec("horovod") is not None
needs_horovod = pytest.mark.skipif(not HAS_HOROVOD, reason="bash launch/setup.sh --horovod")


def doctor(
    *args: str, stubs: Path | None = None, **env: str | None
) -> subprocess.CompletedProcess[str]:
    """Runs the doctor.

    Args:
        args: Its options.
        stubs: A folder that comes before all others, for modules as well as for a user's files.
        env: Variables, in addition to those of this process, or `None` for one that is not set.
    """
    paths = [str(path) for path in (stubs, TOP) if path]
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(paths)} | env
    return subprocess.run(
        [sys.executable, "-m", "disteval", "doctor", *args],
        env={name: value for name, value in variables.items() if value is not None},
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


def plant(folder: Path, name: str) -> None:
    """Makes a package that comes before the installed one, and cannot be imported."""
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(f'raise ImportError("{name} is broken")\n')


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture(scope="module")
def ill(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Any, Any]:
    """All traps that do not hide each other, in one examination."""
    folder = tmp_path_factory.mktemp("ill")
    plant(folder, "horovod")
    (folder / "horovod/__init__.py").write_text(
        'raise ImportError("Extension horovod.tensorflow has not been built")\n'
    )
    for name, version in (("numpy", "1.2.3"), ("wandb", "99.1.0")):
        (folder / f"{name}-{version}.dist-info").mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (folder / f"{name}-{version}.dist-info/METADATA").write_text(metadata)
    (folder / "nvidia-smi").write_text("#!/bin/sh\n[ $1 != -L ] || echo 'GPU 0: NVIDIA H100'\n")
    (folder / "nvidia-smi").chmod(0o755)
    (folder / "sh").symlink_to("/bin/sh")
    return examine(
        stubs=folder,
        PATH=str(folder),  # neither compiler nor cmake
        WANDB_MODE="online",
        WANDB_BASE_URL=f"http://127.0.0.1:{closed_port()}",
        WANDB_API_KEY="not-a-real-key" * 3,
        CUDA_VISIBLE_DEVICES=None,
        TF_CONFIG='{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}',
    )


def test_traps_make_the_status_1(ill: tuple[int, Any, Any]) -> None:
    assert ill[0] == 1


@pytest.mark.parametrize(
    ("trap", "fatal", "text", "advice"),
    [
        ("numpy", True, "1.2.3", "pip install 'numpy"),
        ("horovod-without-tensorflow", True, "`pip install horovod`", "pip uninstall"),
        ("wandb-version", False, "W&B 99.1.0 is newer than", "pip install 'wandb=="),
        ("gpus", True, "The driver has 1 GPUs, and TensorFlow sees 0", "tensorflow[and-cuda]"),
        ("build-tools", False, "c++, cmake, make", "apt install"),
        ("wandb-server", True, "does not answer", "WANDB_MODE=offline"),
    ],
)
def test_finds(trap: str, fatal: bool, text: str, advice: str, ill: tuple[int, Any, Any]) -> None:
    found = ill[2][trap]
    assert text in found["text"]
    assert advice in found["advice"]
    assert found["fatal"] == fatal


def test_says_what_auto_would_choose(ill: tuple[int, Any, Any]) -> None:
    backend = ill[1]["backend"]
    assert backend["name"] == "multiworker"
    assert "rank 1 of 2" in backend["reason"]
    assert ill[1]["selftest"].startswith("not run")


def test_survives_a_tensorflow_that_cannot_be_imported(tmp_path: Path) -> None:
    plant(tmp_path, "tensorflow")
    done = doctor(stubs=tmp_path, WANDB_MODE="disabled")
    assert done.returncode == 1
    assert "tensorflow is broken" in done.stdout
    assert "bash launch/setup.sh" in done.stdout
    assert not done.stderr


def test_survives_a_wandb_that_cannot_be_imported(tmp_path: Path) -> None:
    plant(tmp_path, "wandb")
    status, facts, traps = examine(stubs=tmp_path)
    assert status == 1
    assert "wandb is broken" in facts["wandb_mode"]
    assert "wandb is broken" in traps["import"]["text"]


def test_finds_a_wandb_without_pillow_and_a_login(
    tmp_path: Path, wandb_backend: WandbBackend
) -> None:
    plant(tmp_path, "PIL")
    env = wandb_backend.client_env("doctor") | {"WANDB_API_KEY": None, "HOME": str(tmp_path)}
    status, facts, traps = examine(stubs=tmp_path, **env)
    assert status == 1
    assert "pip install" in traps["pillow"]["advice"]
    assert facts["wandb_server"] == f"{wandb_backend.url} answers, not logged in"
    assert "wandb login" in traps["wandb-login"]["advice"]


def test_finds_a_broken_horovod_and_a_tensorflow_without_cuda(tmp_path: Path) -> None:
    plant(tmp_path, "horovod")
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\n[ $1 != -L ] || echo 'GPU 0: NVIDIA H100'\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    built = "import tensorflow as tf\ntf.test.is_built_with_cuda = lambda: False\n"
    (tmp_path / "sitecustomize.py").write_text(built)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = doctor(stubs=tmp_path, PATH=path, WANDB_MODE="offline", CUDA_VISIBLE_DEVICES=None)
    assert done.returncode == 1
    assert re.search("^GPUs +TensorFlow sees 0 of 1$", done.stdout, re.MULTILINE)
    assert "TensorFlow was built without CUDA. It would train on the CPU." in done.stdout
    assert "Horovod cannot be used: ImportError: horovod is broken" in done.stdout


@needs_horovod
def test_finds_a_python_without_distutils(tmp_path: Path) -> None:
    plant(tmp_path, "distutils")
    status, facts, traps = examine(
        stubs=tmp_path,
        WANDB_MODE="offline",
        SETUPTOOLS_USE_DISTUTILS="stdlib",  # setuptools' own would come first
    )
    assert status == 1
    assert facts["selftest"].startswith("failed")
    assert "setuptools" in traps["distutils"]["advice"]


@needs_horovod
def test_finds_ranks_that_do_not_work_together(tmp_path: Path, wandb_backend: WandbBackend) -> None:
    end = "import os\nif os.environ.get('HOROVOD_RANK') == '1': os._exit(3)\n"
    (tmp_path / "sitecustomize.py").write_text(end)
    status, facts, traps = examine(stubs=tmp_path, **wandb_backend.client_env("doctor"))
    assert status == 1
    assert facts["wandb_server"] == f"{wandb_backend.url} answers", "the key is a variable"
    assert facts["selftest"].startswith("failed")
    assert "horovodrun --gloo -np 2" in traps["selftest"]["advice"]


def test_a_healthy_machine(tmp_path: Path, wandb_backend: WandbBackend) -> None:
    env = wandb_backend.client_env("doctor")
    login = tmp_path / "netrc"  # what `wandb login` writes
    login.write_text(
        f"machine {wandb_backend.url[7:]} login user password {env['WANDB_API_KEY']}\n"
    )
    login.chmod(0o600)
    status, facts, traps = examine(**env | {"WANDB_API_KEY": None, "NETRC": str(login)})
    assert status == 0, traps
    for name in ("tensorflow", "keras", "wandb", "numpy"):
        assert facts[name] == importlib.metadata.version(name)
    assert facts["python"] == platform.python_version()
    assert facts["wandb_server"] == f"{wandb_backend.url} answers"
    assert facts["devices"]
    assert facts["backend"]["name"] == "single"
    if HAS_HOROVOD:
        assert "Gloo" in facts["horovod"]["features"]
        assert facts["selftest"].startswith("two ranks evaluated")
        assert "DistributedGradientTape" in traps["keras-3"]["advice"]
        assert not traps["keras-3"]["fatal"]


def test_a_machine_with_keras_2_and_without_cmake(tmp_path: Path) -> None:
    for tool in ("c++", "make"):
        (tmp_path / tool).symlink_to("/bin/true")
    for tool in ("env", "sh"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))  # for horovodrun
    done = doctor(WANDB_MODE="offline", TF_USE_LEGACY_KERAS="1", PATH=str(tmp_path))
    assert done.returncode == 0, done.stdout
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines()[:11])
    assert lines["Keras"].endswith(f"tf.keras is tf_keras {importlib.metadata.version('tf_keras')}")
    assert lines["W&B"].endswith(", offline")
    assert lines["Backend"].startswith("single (")
    notes = re.findall("^note: (.*)", done.stdout, re.MULTILINE)
    assert len(notes) == 1, "hvd.DistributedOptimizer averages under Keras 2"
    assert notes[0].endswith("without cmake.")
    assert done.stdout.endswith("Nothing is in the way.\n")
