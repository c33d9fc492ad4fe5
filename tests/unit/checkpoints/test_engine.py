"""The replicas of the program, as a launcher or the arguments say."""

from __future__ import annotations

import subprocess
import sys

import pytest
import tensorflow as tf

from disteval.checkpoints.engine import start_engine
from disteval.errors import DistEvalError


@pytest.mark.parametrize(
    ("backend", "replicas", "message"),
    [
        ("nccl", None, "backend='nccl'"),
        ("auto", 0, "replicas=0"),
        ("horovod", 2, "--replicas 2 with the backend 'horovod'"),
        ("single", 2, "--replicas 2.*--backend mirrored"),
    ],
)
def test_arguments_that_do_not_fit(backend: str, replicas: int | None, message: str) -> None:
    with pytest.raises(DistEvalError, match=message):
        start_engine(backend, replicas)


def test_replicas_under_a_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOROVOD_SIZE", "2")
    with pytest.raises(DistEvalError, match=r"the backend 'horovod'.*the launcher says"):
        start_engine("auto", 2)
    monkeypatch.setenv("HOROVOD_SIZE", "1")
    assert start_engine("auto", None) is tf.distribute.get_strategy()


def test_logical_devices_without_a_gpu() -> None:
    program = (
        "from disteval.checkpoints.engine import start_engine\n"
        "print(start_engine('auto', 3).num_replicas_in_sync)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "3\n", done.stderr
