"""The processes of a job: Horovod ranks, and workers of `TF_CONFIG`, forked from one process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import threading
from typing import IO, Any, NoReturn

import psutil

# The variable for the seconds in which the other ranks can print their own error after one has
# failed.
GRACE = "DISTEVAL_TEST_GRACE"
GRACE_SECONDS = 5


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


def fork_ranks(size: int) -> None:
    """Forks Horovod ranks and returns in each, with its environment, each line after its rank.

    The process of the job itself waits for them, and ends with 1 if one failed. As under
    `horovodrun`, a rank that fails ends the job: the other ranks are killed `GRACE` seconds later.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that `finally` runs
    _, environments = rendezvous(size)  # the server runs on a daemon thread
    ranks, outputs = [], []
    for environment in environments:
        reader, writer = os.pipe()
        pid = os.fork()
        if not pid:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.environ.update(environment)
            print_to(writer)
            return
        os.close(writer)
        ranks.append(psutil.Process(pid))
        outputs.append(os.fdopen(reader, errors="replace"))
    _end(_supervise(ranks, outputs))


def fork_workers(size: int) -> None:
    """Forks workers of MultiWorkerMirroredStrategy and returns in each, with its `TF_CONFIG`.

    The process of the job itself waits for them, and ends with 1 if one failed. A worker that is
    still stopped when the others have ended is killed.
    """
    addresses = [f"127.0.0.1:{port}" for port in free_ports(size)]
    # A cluster may have a chief or only workers; two processes get a chief, so both are tested.
    cluster = {"worker": addresses}
    if size == 2:
        cluster = {"chief": addresses[:1], "worker": addresses[1:]}
    workers = []
    for task_type, members in cluster.items():
        for index in range(len(members)):
            task = {"type": task_type, "index": index}
            pid = os.fork()
            if not pid:
                os.environ["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": task})
                return
            workers.append(pid)
    statuses = [os.waitpid(pid, os.WUNTRACED)[1] for pid in workers]
    for number, pid in enumerate(workers):
        if os.WIFSTOPPED(statuses[number]):
            if psutil.Process(pid).status() == psutil.STATUS_STOPPED:
                os.kill(pid, signal.SIGKILL)
            statuses[number] = os.waitpid(pid, 0)[1]
    _end(int(any(statuses)))


def _end(status: int) -> NoReturn:
    """Ends the process of a job, which has done nothing that Python would have to tidy up."""
    sys.stdout.flush()
    os._exit(status)


def free_ports(count: int) -> list[int]:
    """Returns loopback ports that no process listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def print_to(descriptor: int) -> None:
    """Gives this process another place for its output and errors."""
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    os.close(descriptor)


def _supervise(ranks: list[psutil.Process], outputs: list[IO[str]]) -> int:
    """Prints what the ranks print until they have ended; returns 1 if one failed."""
    printers = [
        threading.Thread(target=_print_lines, args=(rank, lines))
        for rank, lines in enumerate(outputs)
    ]
    try:
        for printer in printers:
            printer.start()
        statuses = _wait_for(ranks)
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
    # The lines of all ranks go to one file; a single call writes a line as a whole.
    for line in lines:
        sys.stdout.write(f"[{rank}]<output>:{line}")


def _wait_for(ranks: list[psutil.Process]) -> list[int | None]:
    """Returns how each rank ended; `None` for a rank that outlived a failed one by the grace."""
    statuses: dict[int, int] = {}
    while len(statuses) < len(ranks) and not any(statuses.values()):
        pid, status = os.wait()
        statuses[pid] = os.waitstatus_to_exitcode(status)
    grace = float(os.environ.get(GRACE, GRACE_SECONDS))
    ended, _ = psutil.wait_procs([rank for rank in ranks if rank.pid not in statuses], grace)
    statuses |= {rank.pid: rank.returncode for rank in ended}
    return [statuses.get(rank.pid) for rank in ranks]
