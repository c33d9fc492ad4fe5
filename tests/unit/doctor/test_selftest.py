"""The programs that the doctor runs: facts as JSON, and an evaluation on all ranks."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import disteval.doctor
from multiproc.running import check, run

SELFTEST = Path(disteval.doctor.__file__).with_name("selftest.py")
HAS_HOROVOD = importlib.util.find_spec("horovod") is not None
needs_horovod = pytest.mark.skipif(not HAS_HOROVOD, reason="bash launch/setup.sh --horovod")


def facts(**env: str) -> dict[str, Any]:
    """Returns what the self-test finds in a process with more variables."""
    done = subprocess.run(
        [sys.executable, "-m", "disteval.doctor.selftest", "facts"],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | env,
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_facts() -> None:
    found = facts()
    version = importlib.metadata.version
    assert found["tensorflow"] == version("tensorflow")
    assert found["tf.keras"] == f"keras {version('keras')}"
    assert "1 CPU" in found["devices"]
    assert found["backend"] == {
        "name": "single",
        "reason": "neither horovodrun nor TF_CONFIG, and one device",
    }
    assert found["gpus"] == 0
    assert isinstance(found["is_cuda_build"], bool)
    if HAS_HOROVOD:
        assert found["horovod"]["version"] == version("horovod")
        assert "Gloo" in found["horovod"]["features"]
    else:
        assert found["horovod"] == {"error": "not installed"}


def test_facts_of_a_rank_with_keras_2_and_a_broken_horovod(tmp_path: Path) -> None:
    (tmp_path / "horovod").mkdir()
    (tmp_path / "horovod/__init__.py").write_text("import a_module_that_is_missing\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    found = facts(HOROVOD_SIZE="2", TF_USE_LEGACY_KERAS="1", PYTHONPATH=path)
    assert found["tf.keras"] == f"tf_keras {importlib.metadata.version('tf_keras')}"
    assert found["backend"]["name"] == "horovod"
    assert "hvd.init()" in found["backend"]["reason"]
    assert found["horovod"]["error"].startswith("ModuleNotFoundError: ")


@needs_horovod
def test_predict_on_two_ranks() -> None:
    check(SELFTEST, "predict", launch=("horovod", 2))


@needs_horovod
def test_predict_on_one_rank_is_no_proof() -> None:
    done = run(SELFTEST, "predict")
    assert done.returncode == 1
    assert "horovodrun started one rank only" in done.stdout


DEVICES = """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from disteval.doctor import selftest
selftest.SAMPLES = 256
print(selftest.evaluate_devices("CPU"))
"""


def test_each_device_evaluates_what_the_cpu_does() -> None:
    """As on GPUs, with two devices that TensorFlow makes of the CPU."""
    done = subprocess.run(
        [sys.executable, "-c", DEVICES],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"CPU:0: [\d,]+ samples/s; CPU:1: [\d,]+ samples/s\n", done.stdout)
