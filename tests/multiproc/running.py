"""Runs a script of `scripts/` as a user would: alone, on logical devices, or in several processes.

`python running.py ranks N COMMAND...` runs a command as N Horovod ranks, and
`python running.py workers N COMMAND...` as N workers of TF_CONFIG.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import psutil

TESTS = Path(__file__).resolve().parents[1]
SCRIPTS = TESTS / "multiproc" / "scripts"
BIN = Path(sys.executable).parent
# How to start a script, and its number of replicas; see `run`.
Launch = tuple[str, int]
SINGLE: Launch = ("single", 1)
# Seconds in which the other ranks can print their own error after one has failed.
GRACE_SECONDS = 5


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
    kind, replicas = launch
    command = [sys.executable, str(SCRIPTS / script), *map(str, args)]
    if kind == "horovodrun":
        command = [str(BIN / "horovodrun"), "--gloo", "-np", str(replicas), *command]
    elif kind == "horovod":
        command = [sys.executable, __file__, "ranks", str(replicas), *command]
    elif kind == "multiworker":
        command = [sys.executable, __file__, "workers", str(replicas), *command]
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


def processes(launch: Launch) -> int:
    """Returns how many processes run the script, each of which prints its results."""
    kind, replicas = launch
    return 1 if kind in ("single", "mirrored") else replicas


def rendezvous(size: int) -> tuple[Any, list[dict[str, str]]]:
    """Starts the server through which Horovod ranks on this machine find each other with Gloo.

    Returns:
        The server, and the variables that each rank needs in its environment.
    """
    # Horovod's runner does not import TensorFlow.
    from horovod.runner.common.util.hosts import get_host_assignments, parse_hosts
    from horovod.runner.gloo_run import create_run_env_vars, create_slot_env_vars
    from horovod.runner.http.http_server import RendezvousServer

    slots = get_host_assignments(parse_hosts(f"localhost:{size}"), size)
    server = RendezvousServer()
    network = create_run_env_vars("127.0.0.1", ["lo"], str(server.start()))
    server.init(slots)
    return server, [network | create_slot_env_vars(slot) for slot in slots]


def run_ranks(count: int, command: list[str]) -> int:
    """Runs a command as Horovod ranks, each line of output prefixed with its rank.

    As under `horovodrun`, a rank that fails ends the job: the other ranks are killed
    `GRACE_SECONDS` later.

    Returns:
        0, or 1 if a rank failed.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that `finally` runs
    _, environments = rendezvous(count)  # the server runs on a daemon thread
    try:
        ranks = [
            subprocess.Popen(
                command,
                env=os.environ | environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
            for environment in environments
        ]
        printers = [
            threading.Thread(target=_print_lines, args=(rank, process.stdout))
            for rank, process in enumerate(ranks)
        ]
        for printer in printers:
            printer.start()
        statuses = _wait_for_ranks(ranks)
    finally:
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    for printer in printers:
        printer.join()
    for rank, status in enumerate(statuses):
        if status:
            print(f"[{rank}]<status>:{status}")
    return int(any(statuses))


def _print_lines(rank: int, lines: IO[str]) -> None:
    # The lines of all ranks go to one pipe; a single call writes a line as a whole.
    for line in lines:
        sys.stdout.write(f"[{rank}]<output>:{line}")


def _wait_for_ranks(ranks: list[subprocess.Popen[str]]) -> list[int | None]:
    """Returns how each rank ended; `None` for a rank that outlived a failed one by the grace."""
    deadline = math.inf
    while True:
        statuses = [rank.poll() for rank in ranks]
        if None not in statuses or time.monotonic() > deadline:
            return statuses
        if any(statuses):
            deadline = min(deadline, time.monotonic() + GRACE_SECONDS)
        time.sleep(0.05)


def free_ports(count: int) -> list[int]:
    """Returns loopback ports that no process listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def run_workers(count: int, command: list[str]) -> int:
    """Runs a command as workers of MultiWorkerMirroredStrategy.

    A stopped worker counts as ended, and is killed once the others have ended.

    Returns:
        0, or 1 if a worker failed.
    """
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    # A cluster may have a chief or only workers; two processes get a chief, so both are tested.
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


if __name__ == "__main__":
    kind, count, *command = sys.argv[1:]
    start = {"ranks": run_ranks, "workers": run_workers}[kind]
    sys.exit(start(int(count), command))
