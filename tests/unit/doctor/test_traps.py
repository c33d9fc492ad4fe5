"""Which traps the facts about a machine show."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import pytest

from disteval.doctor import traps

HEALTHY: dict[str, Any] = {
    "gpus": 4,
    "driver_gpus": 4,
    "gpu_processes": 0,
    "gpu_selftest": "GPU:0: 1,000 samples/s, at most 100 MB",
    "is_cuda_build": True,
    "horovod": {"version": "0.28.1", "features": ["Gloo", "NCCL"]},
    "backend": {"name": "horovod", "reason": ""},
}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TF_FORCE_GPU_ALLOW_GROWTH", "HOROVOD_LOCAL_SIZE"):
        monkeypatch.delenv(name, raising=False)


def of_gpus(expected: int = 4, **facts: Any) -> dict[str, traps.Trap]:
    return {trap.name: trap for trap in traps.of_gpus(HEALTHY | facts, expected)}


def test_a_healthy_machine_has_none() -> None:
    assert of_gpus() == {}
    assert of_gpus(0, gpus=0, gpu_selftest=None, horovod={"error": "not installed"}) == {}
    assert list(traps.of_gpus({"driver_gpus": 4}, 4)) == [], "TensorFlow cannot be imported"


@pytest.mark.parametrize(
    ("facts", "name", "fatal", "text", "advice"),
    [
        ({"gpus": 0}, "gpus", True, "4 GPUs, and TensorFlow sees 0.", "tensorflow[and-cuda]"),
        ({"gpus": 3}, "gpus", True, "sees 3. It would train on some", "bash launch/setup.sh"),
        ({"gpus": 0, "is_cuda_build": False}, "cuda-build", True, "built without CUDA", "and-cuda"),
        ({"horovod": {"features": ["Gloo"]}}, "nccl", False, "without NCCL", "OPERATIONS=NCCL"),
        ({"backend": {"name": "single"}}, "default-strategy", False, "one of 4 GPUs", ".scope()"),
        ({"gpu_processes": 2}, "gpu-memory", False, "takes all of the memory", "local_rank()"),
        ({"gpu_selftest": "failed: no"}, "gpu-selftest", True, "failed: no", "selftest gpus"),
    ],
)
def test_traps_of_gpus(
    facts: dict[str, Any], name: str, fatal: bool, text: str, advice: str
) -> None:
    (trap,) = of_gpus(**facts).values()
    assert (trap.name, trap.fatal) == (name, fatal)
    assert text in trap.text
    assert advice in trap.advice


def test_more_ranks_than_gpus_share_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOROVOD_LOCAL_SIZE", "8")
    assert set(of_gpus()) == {"gpu-memory"}
    monkeypatch.setenv("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    assert of_gpus() == {}


def test_the_installed_wandb_is_one_that_was_tested() -> None:
    major, minor = importlib.metadata.version("wandb").split(".")[:2]
    tested = tuple(map(int, traps.TESTED_WANDB.split(".")))
    if (int(major), int(minor)) > tested:
        pytest.skip(f"W&B {major}.{minor} is new: raise TESTED_WANDB if all other tests pass")
