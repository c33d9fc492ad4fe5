"""The same job through each launcher gives the same tables; nothing shows the W&B key."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

from multiproc.hosts import HERE, THERE, other_host
from multiproc.running import BIN, check
from wandb_backend.fixture import WandbBackend

LAUNCH = Path(__file__).resolve().parents[2] / "launch"
JOB = ["--epochs", "1", "--samples", "40"]
# Of the predictions, what does not depend on how the model was trained.
TRUTH = slice(0, 4)

# Slurm with two nodes of one task each, of which both are this machine.
SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do shift; done
for i in 0 1; do SLURM_PROCID=$i "$@" & done
wait -n && wait -n
"""
SLURM = {
    "SLURM_JOB_ID": "7",
    "SLURM_JOB_NODELIST": "node[1-2]",
    "SLURM_TASKS_PER_NODE": "1(x2)",
    "SLURM_SUBMIT_DIR": str(LAUNCH.parent),
}


def slurm(folder: Path) -> dict[str, str]:
    """The environment of a Slurm job, with the commands of Slurm that the launcher calls."""
    folder.mkdir()
    commands = {"srun": SRUN, "scontrol": "#!/bin/sh\nprintf 'node1\\nnode2\\n'\n"}
    for name, text in commands.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return SLURM | {"PATH": f"{folder}:{os.environ['PATH']}"}


def launch(name: str, *args: str | Path, env: dict[str, str], timeout: float = 280) -> str:
    """Runs a launcher with the Python of the tests, and returns its output."""
    small = {"OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    path = env.get("PATH", os.environ["PATH"])
    process = subprocess.Popen(
        ["bash", LAUNCH / name, *args],
        env=os.environ | small | env | {"PATH": f"{BIN}:{path}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    killer = threading.Timer(timeout, os.killpg, [process.pid, signal.SIGKILL])
    killer.start()
    lines = []
    for line in process.stdout:
        lines.append(line)
        assert env["WANDB_API_KEY"] not in " ".join(command_lines(process.pid))
    killer.cancel()
    assert process.wait() == 0, "".join(lines)
    return "".join(lines)


def command_lines(session: int) -> list[str]:
    """What `ps` shows of all processes of a session."""
    shown = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session:
                shown += process.cmdline()
        except (psutil.Error, OSError):
            continue  # it has ended
    return shown


def read(backend: WandbBackend) -> dict[str, Any]:
    """The tables of the run that was started last."""
    env = backend.client_env("reader")
    run_id = list(backend.state()["runs"])[-1].split("/")[-1]
    output = check("read_tables.py", run_id, "disteval-demo", env=env)
    return json.loads(output.splitlines()[-1])


@pytest.mark.timeout(900)
def test_each_launcher_gives_the_same_tables(wandb_backend: WandbBackend, tmp_path: Path) -> None:
    env = wandb_backend.client_env("writer")
    timeline = tmp_path / "timeline.json"
    ways = {
        "single.sh": [],
        "mirrored.sh": ["--replicas", "2"],
        "multiworker.sh": ["--"],
        "horovod.sh": ["-np", "2", "-H", f"{HERE}:1,{THERE}:1", "--timeline", str(timeline)],
        "slurm.sbatch": [],
    }
    tables = {}
    with other_host(tmp_path / "ssh") as ssh:
        more = {"horovod.sh": ssh, "slurm.sbatch": slurm(tmp_path / "slurm")}
        for number, (name, options) in enumerate(ways.items()):
            output = launch(name, *options, *JOB, env=env | more.get(name, {}))
            assert "of 40 samples" in output
            assert len(wandb_backend.state()["runs"]) == number + 1, "one W&B run for each job"
            tables[name] = read(wandb_backend)
    assert timeline.stat().st_size
    expected = tables.pop("single.sh")
    (first,) = expected["predictions"].values()
    assert len(first["rows"]) == 40
    for ours in tables.values():
        assert ours["data"]["rows"] == expected["data"]["rows"]
        (table,) = ours["predictions"].values()
        assert table["columns"] == first["columns"]
        assert [row[TRUTH] for row in table["rows"]] == [row[TRUTH] for row in first["rows"]]
        assert table["metadata"]["samples"] == 40
        assert table["metadata"]["replicas"] == 2
