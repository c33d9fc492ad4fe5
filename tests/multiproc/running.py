"""Runs a script of `scripts/` as a user would: alone, on logical devices, or in several processes.

`python running.py N COMMAND...` runs a command in N processes, each a worker of TF_CONFIG.
"""

from __future__ import annotations

import json
import os
import signal
import socket
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
        launch: `("single", 1)`, `("mirrored", replicas)`, `("horovod", ranks)` or
            `("multiworker", workers)`.
        env: Variables in addition to those of this process.
        timeout: Seconds until the test fails.
        cwd: Where it runs.
    """
    backend, replicas = launch
    command = [sys.executable, str(SCRIPTS / script), *map(str, args)]
    if backend == "horovod":
        command = [str(BIN / "horovodrun"), "--gloo", "-np", str(replicas), *command]
    if backend == "multiworker":
        command = [sys.executable, __file__, str(replicas), *command]
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


def free_ports(count: int) -> list[int]:
    """Returns ports of loopback that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def run_workers(count: int, command: list[str]) -> int:
    """Runs a command as workers of MultiWorkerMirroredStrategy; 1 if one of them fails.

    A worker that stops has ended; it is killed when the others have ended as well.
    """
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    # TF_CONFIG knows clusters with a chief, as here those of two processes, and without one.
    cluster = {"worker": addresses}
    if count == 2:
        cluster = {"chief": addresses[:1], "worker": addresses[1:]}
    configs = [
        {"cluster": cluster, "task": {"type": task_type, "index": index}}
        for task_type, members in cluster.items()
        for index in range(len(members))
    ]
    workers = [
        subprocess.Popen(command, env=os.environ | {"TF_CONFIG": json.dumps(config)})
        for config in configs
    ]
    statuses = [os.waitpid(worker.pid, os.WUNTRACED)[1] for worker in workers]
    for worker, status in zip(workers, statuses, strict=True):
        if os.WIFSTOPPED(status):
            worker.kill()
    return int(any(statuses))


def _defaults(launch: Launch) -> dict[str, str]:
    # Keras 3's own `fit` fails under MultiWorkerMirroredStrategy.
    keras_2 = {"TF_USE_LEGACY_KERAS": "1"} if launch[0] == "multiworker" else {}
    return keras_2 | {
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


if __name__ == "__main__":
    sys.exit(run_workers(int(sys.argv[1]), sys.argv[2:]))
