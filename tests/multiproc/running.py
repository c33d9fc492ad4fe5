"""Runs a script of `scripts/` as a user would: alone, on logical devices, or under horovodrun."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

SCRIPTS = Path(__file__).parent / "scripts"
BIN = Path(sys.executable).parent
# The pieces of "how": a name of a backend and its number of replicas.
Launch = tuple[str, int]
SINGLE: Launch = ("single", 1)


def run(
    script: str | Path,
    *args: object,
    launch: Launch = SINGLE,
    env: Mapping[str, str] | None = None,
    timeout: float = 240,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs a script to its end and returns its status and output; kills all of it on a timeout.

    Args:
        script: A file of `scripts/`, or a path.
        args: Its arguments.
        launch: `("single", 1)`, `("mirrored", replicas)` or `("horovod", ranks)`.
        env: Variables in addition to those of this process.
        timeout: Seconds until the test fails.
        cwd: Where it runs.
    """
    backend, replicas = launch
    command = [sys.executable, str(SCRIPTS / script), *map(str, args)]
    if backend == "horovod":
        command = [str(BIN / "horovodrun"), "--gloo", "-np", str(replicas), *command]
    process = subprocess.Popen(
        command,
        env=os.environ | _defaults(launch) | dict(env or {}),
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        raise AssertionError(f"{script} did not end within {timeout} s:\n{output}") from None
    return subprocess.CompletedProcess(command, process.returncode, output)


def check(*args: object, **kwargs: object) -> str:
    """Runs a script, expects success, and returns its output."""
    done = run(*args, **kwargs)  # type: ignore[arg-type]
    assert done.returncode == 0, done.stdout
    return done.stdout


def _defaults(launch: Launch) -> dict[str, str]:
    return {
        "DISTEVAL_TEST_BACKEND": launch[0],
        "DISTEVAL_TEST_REPLICAS": str(launch[1]),
        # The machine is small: one thread for each process.
        "OMP_NUM_THREADS": "1",
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_NUM_INTEROP_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": f"{SCRIPTS}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        "PYTHONUNBUFFERED": "1",
    }
