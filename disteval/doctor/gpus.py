"""The NVIDIA GPUs of this machine, as its driver knows them, whatever TensorFlow sees of them."""

from __future__ import annotations

import os
import subprocess

# Seconds for an answer of the driver.
DRIVER_SECONDS = 60


def driver_gpus() -> int:
    """Returns how many GPUs the driver has; 0 if there is no driver."""
    return sum(line.startswith("GPU ") for line in _nvidia_smi("-L"))


def expected_gpus() -> int:
    """Returns how many GPUs TensorFlow should see: those of CUDA_VISIBLE_DEVICES, or all."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        return driver_gpus()
    names = [name.strip() for name in listed.split(",")]
    # CUDA ignores what comes after a device that does not exist.
    valid = next((i for i, name in enumerate(names) if name in ("", "-1")), len(names))
    return min(valid, driver_gpus())


def processes_on_gpus() -> int:
    """Returns how many processes compute on the GPUs now."""
    return len(_nvidia_smi("--query-compute-apps=pid", "--format=csv,noheader"))


def _nvidia_smi(*arguments: str) -> list[str]:
    try:
        done = subprocess.run(
            ["nvidia-smi", *arguments], capture_output=True, text=True, timeout=DRIVER_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    if done.returncode:
        return []
    return [line for line in done.stdout.splitlines() if line.strip()]
