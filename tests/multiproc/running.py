"""Runs a script of `scripts/` as a user would: alone, on devices, or in several processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from multiproc.forking import Forker

TESTS = Path(__file__).resolve().parents[1]
SCRIPTS = TESTS / "multiproc" / "scripts"
BIN = Path(sys.executable).parent
# How to start a script, and its number of replicas; see `run`.
Launch = tuple[str, int]
SINGLE: Launch = ("single", 1)
# By the value of TF_USE_LEGACY_KERAS, at which the import of TensorFlow looks.
_forkers: dict[str, Forker] = {}


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
        launch: `("single", 1)`, `("mirrored", replicas)`, `("multiworker", workers)`,
            `("horovod", ranks)` or, to test `horovodrun` itself, `("horovodrun", ranks)`, which
            takes 4 s longer because it first imports TensorFlow to see whether Horovod has Gloo.
        env: Variables in addition to those of this process.
        timeout: Seconds until the test fails.
        cwd: The working directory of the script.
    """
    arguments = [str(SCRIPTS / script), *map(str, args)]
    variables = os.environ | _defaults(launch) | dict(env or {})
    if launch[0] == "horovodrun":
        status, output = _run_under_horovodrun(arguments, launch[1], variables, cwd, timeout)
    else:
        forker = _forker(variables.get("TF_USE_LEGACY_KERAS", ""))
        status, output = forker.run(arguments, launch, variables, cwd, timeout)
    assert status is not None, f"{script} did not end within {timeout} s:\n{output}"
    return subprocess.CompletedProcess(arguments, status, output)


def _forker(keras_2: str) -> Forker:
    if keras_2 not in _forkers or not _forkers[keras_2].is_alive():
        variables = os.environ | _defaults(SINGLE) | {"TF_USE_LEGACY_KERAS": keras_2}
        _forkers[keras_2] = Forker(variables)
    return _forkers[keras_2]


def _run_under_horovodrun(
    arguments: list[str], size: int, variables: Mapping[str, str], cwd: Path | None, timeout: float
) -> tuple[int | None, str]:
    process = subprocess.Popen(
        [str(BIN / "horovodrun"), "--gloo", "-np", str(size), sys.executable, *arguments],
        env=variables,
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
        return None, output
    return process.returncode, output


def check(*args: object, **kwargs: object) -> str:
    """Runs a script, expects success, and returns its output."""
    done = run(*args, **kwargs)  # type: ignore[arg-type]
    assert done.returncode == 0, done.stdout
    return done.stdout


def processes(launch: Launch) -> int:
    """Returns how many processes run the script, each of which prints its results."""
    kind, replicas = launch
    return 1 if kind in ("single", "mirrored") else replicas


def _defaults(launch: Launch) -> dict[str, str]:
    # The `fit` of Keras 3 fails under MultiWorkerMirroredStrategy.
    keras_2 = {"TF_USE_LEGACY_KERAS": "1"} if launch[0] == "multiworker" else {}
    return keras_2 | {
        "DISTEVAL_TEST_BACKEND": "horovod" if launch[0] == "horovodrun" else launch[0],
        "DISTEVAL_TEST_REPLICAS": str(launch[1]),
        # One thread for each process, since the tests are made for a machine with two cores.
        "OMP_NUM_THREADS": "1",
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_NUM_INTEROP_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": os.pathsep.join([str(SCRIPTS), str(TESTS), os.environ.get("PYTHONPATH", "")]),
        "PYTHONUNBUFFERED": "1",
    }
