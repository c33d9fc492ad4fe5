"""Runs the job of a schedule, and then what a user runs after it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from chaos.schedules import Schedule
from multiproc.disks import empty, small_disk
from multiproc.jobs import GRACE
from multiproc.launching import launch
from multiproc.running import BIN, TESTS, run
from wandb_backend.fixture import WandbBackend

# Far more than any job takes; whoever reaches it hangs.
BOUND_SECONDS = 240
DISK_BYTES = 3_000_000
# Three hosts for Horovod, since it uses a host no more on which a rank failed.
HOSTS = "#!/bin/sh\nprintf 'localhost:1\\n127.0.0.1:1\\n127.1:1\\n'\n"
# W&B's own first wait is 2 s, and it tries for a day.
RETRIES = {
    f"WANDB__{what}_RETRY_{which}": value
    for what in ("GRAPHQL", "FILE_TRANSFER", "FILE_STREAM")
    for which, value in (("WAIT_MIN_SECONDS", "0.1"), ("WAIT_MAX_SECONDS", "0.5"), ("MAX", "3"))
}


@dataclasses.dataclass
class Outcome:
    """What is left of a job.

    Attributes:
        status: Its exit status.
        output: What it printed, and `python -m disteval upload` after it.
        notes: What each rank noted, by rank; a rank that was killed notes nothing.
        fired: The numbers of the faults that happened.
        state: What W&B knows at the end, and `tables` the rows of each version by its name.
        left: Processes and temporary files that outlived the job.
        unsent: What `upload` could not upload.
    """

    status: int
    output: str
    notes: dict[int, dict[str, Any]]
    fired: set[int]
    state: dict[str, Any]
    tables: dict[str, list[list[Any]]]
    left: list[str]
    unsent: list[str]


def run_job(schedule: Schedule, directory: Path) -> Outcome:
    """Runs a job in an empty directory, uploads what it has left, and returns what is there."""
    backend = WandbBackend(directory / "wandb")
    try:
        disk = directory / "disk"
        if not schedule.needs_disk:
            return _run(schedule, directory, disk, backend)
        with small_disk(disk, DISK_BYTES):
            return _run(schedule, directory, disk, backend)
    finally:
        backend.stop()


def _run(schedule: Schedule, directory: Path, disk: Path, backend: WandbBackend) -> Outcome:
    notes, temporary = directory / "notes", directory / "tmp"
    for folder in (notes, temporary):
        folder.mkdir()
    env = backend.client_env("client") | RETRIES | {"WANDB_MODE": schedule.mode}
    if schedule.needs_disk:
        names = ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_ARTIFACT_DIR")
        env |= dict.fromkeys(names, str(disk))
    own = {"CHAOS_SERVER": backend.url, "TMPDIR": str(temporary), GRACE: "60"}
    before = set(psutil.pids())
    start = _start_elastic if schedule.engine[0] == "elastic" else _start
    done = start(schedule, notes, disk, env | own)
    left = _processes(str(directory), before) + sorted(map(str, temporary.rglob("*")))
    backend.faults()
    empty(disk)
    output = done.stdout + _send(schedule, Path(env["WANDB_DIR"]), os.environ | env)
    state = backend.state()
    return Outcome(
        status=done.returncode,
        output=output,
        notes={
            int(path.stem.partition("-")[2]): json.loads(path.read_text())
            for path in notes.glob("rank-*.json")
        },
        fired={int(path.name.partition("-")[2]) for path in notes.glob("fired-*")},
        state=state,
        tables=_tables(backend, state),
        left=left,
        unsent=sorted(map(str, Path(env["WANDB_DIR"]).rglob("disteval/*/*/package.json"))),
    )


def _start(
    schedule: Schedule, notes: Path, disk: Path, env: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    return run(
        TESTS / "chaos" / "training.py",
        *(schedule.to_json(), notes, disk),
        launch=schedule.engine,
        env=env,
        timeout=BOUND_SECONDS,
    )


def _start_elastic(
    schedule: Schedule, notes: Path, disk: Path, env: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    discovery = notes.parent / "hosts.sh"
    discovery.write_text(HOSTS)
    discovery.chmod(0o755)
    output = launch(
        "horovod.sh",
        *("-np", "3", "--min-np", "1", "--max-np", "3", "--network-interfaces", "lo"),
        *("--host-discovery-script", discovery, "--gloo-timeout-seconds", "30"),
        *("--script", TESTS / "chaos" / "elastic.py", "--", schedule.to_json(), notes),
        *("--epochs", str(schedule.evaluations), "--samples", str(schedule.samples)),
        env=env | {"PYTHONPATH": f"{TESTS}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
        timeout=BOUND_SECONDS,
    )
    return subprocess.CompletedProcess([], 0, output)


def _send(schedule: Schedule, directory: Path, env: dict[str, str]) -> str:
    """Sends what the run has left on disk to W&B, as its warnings tell the user to."""
    commands: list[list[str | Path]] = []
    if any(directory.rglob("disteval/*/*/package.json")):
        commands.append([sys.executable, "-m", "disteval", "upload", directory])
    if schedule.mode == "offline":
        commands.append([BIN / "wandb", "sync", *directory.glob("wandb/offline-run-*")])
    output = ""
    for command in commands:
        done = subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=BOUND_SECONDS
        )
        output += f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}{done.stderr}"
    return output


def _tables(backend: WandbBackend, state: dict[str, Any]) -> dict[str, list[list[Any]]]:
    tables = {}
    for artifact in state["artifacts"]:
        if artifact["state"] == "COMMITTED" and artifact["collection"].endswith("_pred"):
            (name,) = (alias for alias in artifact["aliases"] if alias not in ("latest", "best"))
            assert name not in tables, f"{name} was committed twice"
            tables[name] = backend.content(artifact, "eval_data.table.json")["data"]
    return tables


def _processes(directory: str, before: set[int]) -> list[str]:
    """Returns the processes of the job that are still there."""
    left = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            is_of_job = process.environ().get("TMPDIR", "").startswith(directory)
            if process.pid not in before and is_of_job:
                left.append(" ".join(process.cmdline()))
    return left
