"""The scripts of `launch/examples/` run as they are, and are short enough to copy."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits

from multiproc.running import SINGLE, Launch, check, processes

EXAMPLES = Path(__file__).resolve().parents[2] / "launch/examples"
# Makes two logical devices in a process of its own, in the place of two GPUs.
DEVICES = """
import os
if "HOROVOD_RANK" not in os.environ:
    import tensorflow as tf
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
"""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "sitecustomize.py").write_text(DEVICES)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    return {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path), "PYTHONPATH": path}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of pictures of three digits."""
    digits = load_digits()
    kept = np.flatnonzero(digits.target < 3)[:90]
    for i, number in enumerate(kept):
        part = "val" if i % 3 == 0 else "train"
        png = tf.io.encode_png(digits.images[number].astype("uint8")[..., np.newaxis] * 15)
        file = tmp_path / part / str(digits.target[number]) / f"{number:04}.png"
        tf.io.write_file(str(file), png)
    return tmp_path


@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("*.py")), ids=lambda script: script.name)
def test_each_is_short(script: Path) -> None:
    assert len(script.read_text().splitlines()) < 80


@pytest.mark.parametrize("launch", [SINGLE, ("horovod", 2)], ids=str)
def test_image_folder(launch: Launch, folder: Path, env: dict[str, str]) -> None:
    output = check(EXAMPLES / "image_folder.py", folder, "--epochs=2", launch=launch, env=env)
    losses = re.findall(r"val_loss: ([\d.]+)", output)
    assert len(losses) == 2, output
    assert list(folder.glob("wandb/offline-run-*"))


def test_detection(tmp_path: Path, env: dict[str, str]) -> None:
    arguments = ["--epochs=2", "--samples=256"]
    output = check(EXAMPLES / "detection.py", *arguments, launch=("horovod", 2), env=env)
    assert len(re.findall(r"val_ap: [\d.]+", output)) == 2, output
    assert list(tmp_path.glob("wandb/offline-run-*"))


def test_own_loop(env: dict[str, str]) -> None:
    output = check(EXAMPLES / "own_loop.py", "--epochs=2", env=env)
    assert len(re.findall(r"epoch \d: loss [\d.]+, accuracy [\d.]+, loss [\d.]+", output)) == 2
    assert re.search(r"\d+ of 297 are wrong, the first ones: \[\d", output)
    assert processes(SINGLE) == output.count("are wrong")
