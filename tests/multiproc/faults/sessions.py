"""Runs fault cases, one after the other, each in processes of its own.

Its arguments are `<case>:<backend>:<replicas>`, and it prints for each a line of JSON: how every
rank ended. The ranks are forked from this process, which has imported TensorFlow once, so that a
case takes 2 seconds and not 12. Unlike under `horovodrun`, a rank that fails does not end the
others: each has to find its own end.
"""

from __future__ import annotations

import collections
import functools
import gc
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import horovod.tensorflow  # noqa: F401
import psutil

import disteval.callback  # noqa: F401
from multiproc.faults.cases import CASES, Case
from multiproc.jobs import rendezvous

# Seconds that a session may take in addition to the bound of its case: start, training.
EXTRA_SECONDS = 90


def main(names: list[str]) -> Callable[[], None] | None:
    """Runs all sessions; in a rank, returns what it has to do."""
    gc.freeze()  # or each rank would copy the memory of TensorFlow's objects
    cases = {case.name: case for case in CASES}
    for line in names:
        name, backend, replicas = line.split(":")
        job = session(cases[name], backend, int(replicas))
        if job is not None:
            return job
    return None


def session(case: Case, backend: str, replicas: int) -> Callable[[], None] | None:
    """Runs a case and prints how its ranks ended; in a rank, returns what it has to do."""
    size = replicas if backend == "horovod" else 1
    directory = Path(tempfile.mkdtemp(prefix="disteval-fault-"))
    server, environments = rendezvous(size)
    ranks = []
    for rank, environment in enumerate(environments):
        pid = os.fork()
        if not pid:
            os.environ.update(environment)
            os.environ["DISTEVAL_TEST_BACKEND"] = backend
            os.environ["DISTEVAL_TEST_REPLICAS"] = str(replicas)
            # Horovod's own patience with a stopped rank, at the end of a process; 30 by default.
            os.environ["HOROVOD_GLOO_TIMEOUT_SECONDS"] = "10"
            return functools.partial(run, case, directory, rank, size)
        ranks.append(psutil.Process(pid))
    ends = wait(ranks, [size - 1] if case.ending == "stopped" else [], EXTRA_SECONDS + case.within)
    server.stop()
    results = [read(directory, rank, *end) for rank, end in enumerate(ends)]
    shutil.rmtree(directory)
    answer = {"name": case.name, "launch": [backend, replicas], "ranks": results}
    print(json.dumps(answer), flush=True)
    return None


def run(case: Case, directory: Path, rank: int, size: int) -> None:
    """What a rank does: it trains, and leaves a note of the error with which that ends."""
    for stream in (1, 2):
        os.dup2(os.open(directory / f"{rank}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    # Only here, since these modules look at the environment of the rank.
    from multiproc.faults import differing, ending, metrics, raising, sharded
    from multiproc.faults.training import Training

    modules = (raising, sharded, differing, ending, metrics)
    scenario = collections.ChainMap(*map(vars, modules))[case.name]
    try:
        scenario(Training(directory, rank in case.origins(size), case.timeout))
    except BaseException as error:
        note = {"type": type(error).__name__, "message": str(error), "raised": time.monotonic()}
        (directory / f"{rank}.json").write_text(json.dumps(note))
        raise


def wait(
    ranks: list[psutil.Process], stopping: list[int], seconds: float
) -> list[tuple[int | None, float]]:
    """Waits for the end of all ranks but those that are stopped, and kills what is left then.

    Returns:
        For each rank its exit status (negative: a signal; `None`: it was left), and when it ended.
    """
    times: dict[int, float] = {}
    awaited = [process for rank, process in enumerate(ranks) if rank not in stopping]
    _, left = psutil.wait_procs(
        awaited, seconds, lambda process: times.setdefault(process.pid, time.monotonic())
    )
    for process in [*left, *(ranks[rank] for rank in stopping)]:
        process.send_signal(signal.SIGABRT if process in left else signal.SIGKILL)
        process.wait()
    return [
        (process.wait() if process.pid in times or rank in stopping else None,
         times.get(process.pid, time.monotonic()))
        for rank, process in enumerate(ranks)
    ]  # fmt: skip


def read(directory: Path, rank: int, status: int | None, ended: float) -> dict[str, Any]:
    """Returns how a rank ended, with times relative to the fault."""
    note = directory / f"{rank}.json"
    result = json.loads(note.read_text()) if note.exists() else {"type": None, "message": ""}
    fault = directory / "fault"
    start = float(fault.read_text()) if fault.exists() else float("-inf")
    if "raised" in result:
        result["raised"] -= start
    log = (directory / f"{rank}.log").read_text()
    return result | {"status": status, "ended": ended - start, "log": log}


if __name__ == "__main__":
    job = main(sys.argv[1:])
    if job is not None:
        job()  # a rank ends as a script does, with all that this entails
