"""The GPUs that the driver has, asked through a stand-in for `nvidia-smi`."""

from __future__ import annotations

from pathlib import Path

import pytest

from disteval.doctor import gpus

NVIDIA_SMI = """#!/bin/sh
case $1 in
-L) echo "GPU 0: NVIDIA H100 (UUID: GPU-1)"; echo "GPU 1: NVIDIA H100 (UUID: GPU-2)"
    echo "  MIG 1g.10gb     Device  0: (UUID: MIG-3)" ;;
*) echo 4242; echo ;;
esac
"""


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A driver with two GPUs, and a process on one of them."""
    program = tmp_path / "nvidia-smi"
    program.write_text(NVIDIA_SMI)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return program


def test_a_driver_with_two_gpus(driver: Path) -> None:
    assert (gpus.driver_gpus(), gpus.processes_on_gpus()) == (2, 1)


@pytest.mark.parametrize(
    ("visible", "expected"),
    [(None, 2), ("0", 1), ("0,1", 2), ("1, 0", 2), ("", 0), ("-1", 0), ("0,-1,1", 1), ("0,1,2", 2)],
)
def test_gpus_that_tensorflow_should_see(
    visible: str | None, expected: int, driver: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus.expected_gpus() == expected


def test_a_machine_without_a_driver_or_with_a_broken_one(
    driver: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n")
    assert (gpus.driver_gpus(), gpus.processes_on_gpus(), gpus.expected_gpus()) == (0, 0, 0)
    driver.unlink()
    assert (gpus.driver_gpus(), gpus.processes_on_gpus(), gpus.expected_gpus()) == (0, 0, 0)
