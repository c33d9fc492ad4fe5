"""Runs the scripts of `launch/`, and checks that no process exposes the W&B key."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from multiproc.running import BIN
from wandb_backend.fixture import WandbBackend

LAUNCH = Path(__file__).resolve().parents[2] / "launch"
# Seconds between two checks of all processes.
LOOK_SECONDS = 0.1


def launch(
    name: str,
    *args: str | Path,
    env: dict[str, str],
    inside: Sequence[str | Path] = (),
    timeout: float = 280,
) -> str:
    """Runs a launcher with the Python of the tests, and returns its output.

    Args:
        name: The launcher.
        args: Its arguments.
        env: Variables in addition to those of this process. No process may show `WANDB_API_KEY`
            on its command line, and of the ranks only rank 0 may have it in its environment.
        inside: A command that runs the launcher on another host.
        timeout: Seconds until the test fails.
    """
    env = env | {"WANDB_API_KEY": secrets.token_hex(20)}  # unique to this job
    small = {"OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    path = env.get("PATH", os.environ["PATH"])
    deadline = time.monotonic() + timeout
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [*inside, "bash", LAUNCH / name, *args],
            env=os.environ | small | env | {"PATH": f"{BIN}:{path}"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        shown: set[str] = set()
        while process.returncode is None and time.monotonic() < deadline:
            shown |= exposures(env["WANDB_API_KEY"])
            try:
                process.wait(LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                continue
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
        output.seek(0)
        text = output.read()
    assert process.returncode == 0, text
    assert not shown
    return text


def exposures(key: str) -> set[str]:
    """Returns where processes of this machine expose the key now, in words."""
    found = set()
    for process in psutil.process_iter():
        try:
            if key in " ".join(process.cmdline()):
                found.add(f"on a command line of {process.name()}")
            variables = process.environ()
            if key in variables.values() and _is_another_rank(variables):
                found.add(f"in the environment of {process.name()}, which is not rank 0")
        except (psutil.Error, OSError):
            continue  # it has ended
    return found


def _is_another_rank(variables: dict[str, str]) -> bool:
    """Returns whether an environment belongs to a rank other than rank 0."""
    if "HOROVOD_ELASTIC" in variables:
        return False  # the variables keep the first numbers when ranks get others
    if "TF_CONFIG" in variables:
        return json.loads(variables["TF_CONFIG"])["task"]["index"] != 0
    rank = variables.get("HOROVOD_RANK", variables.get("SLURM_PROCID", "0"))
    return rank != "0"


def read(backend: WandbBackend, name: str = "") -> dict[str, Any]:
    """Reads the tables of the newest run from the server.

    Args:
        backend: The server.
        name: The name of the set of data, if it has one.

    Returns:
        The `data` table, the `predictions` by version, and the names of the artifacts that the
        run `used`. Image cells hold the digest of the image.
    """
    state = backend.state()
    run_id = list(state["runs"])[-1].split("/")[-1]
    end = f"_{name}" if name else ""
    used = [artifact for artifact in state["artifacts"] if run_id in artifact["used_by"]]
    used = [artifact for artifact in used if artifact["collection"] == f"val{end}"]
    versions = [a for a in state["artifacts"] if a["collection"] == f"run_{run_id}_pred{end}"]
    assert not any(artifact["dangling"] for artifact in [*used, *versions])
    (data,) = (artifact for artifact in used if artifact["type"] == "dataset")
    return {
        "data": _table(backend, data, "val_data"),
        "predictions": {a["version"]: _table(backend, a, "eval_data") for a in versions},
        "used": [f"{artifact['collection']}:{artifact['version']}" for artifact in used],
    }


def _table(backend: WandbBackend, artifact: dict[str, Any], name: str) -> dict[str, Any]:
    content = backend.content(artifact, f"{name}.table.json")
    rows = [
        [cell["sha256"] if isinstance(cell, dict) else cell for cell in row]
        for row in content["data"]
    ]
    return {
        "columns": content["columns"],
        "rows": rows,
        "aliases": sorted(artifact["aliases"]),
        "metadata": artifact["metadata"],
    }
