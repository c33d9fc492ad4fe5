"""Every version of the tables reaches W&B, or stays on disk and reaches it later."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from multiproc.running import BIN, SINGLE, Launch, check, run
from wandb_backend.fixture import WandbBackend

# The client's own first wait is 2 s.
FAST_RETRIES = {
    f"WANDB__{what}_RETRY_WAIT_{which}_SECONDS": seconds
    for what in ("GRAPHQL", "FILE_TRANSFER", "FILE_STREAM")
    for which, seconds in (("MIN", "0.1"), ("MAX", "1"))
}
FEW_RETRIES = {
    f"WANDB__{what}_RETRY_MAX": "1" for what in ("GRAPHQL", "FILE_TRANSFER", "FILE_STREAM")
}
# EPOCHS=200 is the size at which memory was measured.
EPOCHS = int(os.environ.get("EPOCHS", "50"))


def tables(backend: WandbBackend, collection: str, name: str) -> Iterator[Any]:
    """Yields a table, as it was uploaded, and the aliases of each version of a collection."""
    for artifact in backend.state()["artifacts"]:
        if artifact["collection"] == collection and artifact["state"] == "COMMITTED":
            assert not artifact["dangling"]
            yield backend.content(artifact, f"{name}.table.json"), artifact["aliases"]


def assert_all_there(backend: WandbBackend, run_id: str, epochs: int, rows: int) -> None:
    """Each epoch is one version, with all rows, each with the right cells."""
    seen = []
    for table, aliases in tables(backend, f"run_{run_id}_pred", "eval_data"):
        epoch = table["data"][0][0]
        assert table["columns"] == ["epoch", "index", "text", "score"]
        assert table["data"] == [[epoch, i, f"sample {i}", i * (epoch + 1)] for i in range(rows)]
        assert f"epoch_{epoch}" in aliases
        seen.append(epoch)
    assert sorted(seen) == list(range(epochs))
    (data,) = tables(backend, "val", "val_data")
    assert data[0]["data"] == [[i, f"sample {i}"] for i in range(rows)]
    assert backend.state()["rejected"] == []


def left(backend: WandbBackend) -> list[Path]:
    return sorted(backend.directory.glob("client/wandb/*run-*/disteval/*/*/package.json"))


def upload(backend: WandbBackend, directory: str | Path) -> str:
    command = [sys.executable, "-m", "disteval", "upload", str(directory)]
    done = subprocess.run(
        command, env=os.environ | backend.env, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_version_is_committed_though_requests_fail(wandb_backend: WandbBackend) -> None:
    wandb_backend.faults(fail_fraction=0.02, seed=1)
    retries = FAST_RETRIES if EPOCHS < 200 else {}
    output = check(
        "log_versions.py",
        f"--epochs={EPOCHS}",
        "--rows=1000",
        env=wandb_backend.env | retries,
    )
    print(output)
    assert wandb_backend.state()["faulted"] > 0
    assert "could not" not in output
    assert_all_there(wandb_backend, "versions", EPOCHS, 1000)
    assert left(wandb_backend) == []


def test_versions_of_a_gone_backend_are_kept_and_uploaded_later(
    wandb_backend: WandbBackend,
) -> None:
    epochs, rows = 12, 50
    wandb_backend.faults(gone_after=60)
    output = check(
        "log_versions.py",
        f"--epochs={epochs}",
        f"--rows={rows}",
        "--stall-seconds=3",
        env=wandb_backend.env | FAST_RETRIES | FEW_RETRIES,
    )
    assert "trained" in output
    kept = left(wandb_backend)
    assert 0 < len(kept) < epochs
    warning = next(line for line in output.splitlines() if "could not be uploaded" in line)
    assert warning.startswith(f"{len(kept)} tables of run versions")
    assert all(package.parent.name in warning for package in kept)
    command = re.search(r"`python -m disteval upload (\S+)`", warning)
    assert command is not None

    wandb_backend.faults()
    assert f"{len(kept)} tables uploaded" in upload(wandb_backend, command[1])
    assert_all_there(wandb_backend, "versions", epochs, rows)
    assert left(wandb_backend) == []


@pytest.mark.parametrize(
    ("way", "status"),
    [("raise in with", 1), ("raise", 1), ("interrupt", -signal.SIGINT), ("exit", 3)],
)
def test_what_was_logged_arrives_however_training_ends(
    way: str, status: int, wandb_backend: WandbBackend
) -> None:
    done = run("log_and_leave.py", way, env=wandb_backend.env)
    assert done.returncode == status, done.stdout
    assert_all_there(wandb_backend, "leave", epochs=4, rows=20)
    assert left(wandb_backend) == []


@pytest.mark.parametrize(("way", "status"), [("kill", -signal.SIGKILL), ("without service", 0)])
def test_what_was_built_is_uploaded_later_if_a_process_is_killed(
    way: str, status: int, wandb_backend: WandbBackend
) -> None:
    wandb_backend.faults(delay=0.3)
    done = run("log_and_leave.py", way, env=wandb_backend.env)
    assert done.returncode == status, done.stdout
    kept = left(wandb_backend)
    assert kept
    wandb_backend.faults()
    upload(wandb_backend, wandb_backend.directory)
    versions = list(tables(wandb_backend, "run_leave_pred", "eval_data"))
    # The process was killed at the end of epoch 3, whose table was perhaps not built yet.
    assert len(versions) in ((3, 4) if way == "kill" else (10,))
    assert_all_there(wandb_backend, "leave", len(versions), rows=20)
    assert left(wandb_backend) == []


def test_failures_are_one_error_on_all_ranks_or_none(wandb_backend: WandbBackend) -> None:
    output = check("log_failing.py", launch=("horovod", 2), env=wandb_backend.env)
    assert output.count("all cases") == 2, output
    # The data table was refused once, and went ahead of the first version.
    for run_id in ("refused-warn", "model-synchronous"):
        versions = list(tables(wandb_backend, f"run_{run_id}_pred", "eval_data"))
        assert [table["data"][1][-1] for table, _ in versions] == [1, 2, 3, 4]
    # One for all runs, and one of fewer rows.
    assert len(list(tables(wandb_backend, "val", "val_data"))) == 2


def test_logging_beside_other_callbacks_twice_and_resumed(wandb_backend: WandbBackend) -> None:
    key = wandb_backend.env["WANDB_API_KEY"]
    login = wandb_backend.directory / "netrc"
    login.write_text(f"machine {wandb_backend.url[7:]} login user password {key}\n")
    login.chmod(0o600)
    env = {name: value for name, value in wandb_backend.env.items() if name != "WANDB_API_KEY"}
    env["NETRC"] = str(login)
    output = check("log_beside.py", launch=("horovod", 2), env=env)
    output += check("log_beside.py", "--resume", env=env)
    assert output.count("beside") == 3

    state = wandb_backend.state()
    committed = [a for a in state["artifacts"] if a["state"] == "COMMITTED"]
    versions = [a for a in committed if a["collection"] == "run_beside_pred"]
    # The last process logs what the one before had logged last, and W&B keeps one of the two.
    assert [artifact["aliases"] for artifact in versions] == [
        ["best", "epoch_0"],
        *([f"epoch_{epoch}"] for epoch in range(1, 5)),
        ["step_10"],
        ["step_20"],
        ["latest", "mine"],
    ]
    assert [a["metadata"]["step"] for a in versions] == [2, 4, 6, 8, 10, 10, 20, 2]
    for version in versions[:7]:
        assert version["metadata"]["replicas"] == 2
        assert version["metadata"]["samples"] == 20
        assert {"inference", "gather", "input", "tables"} <= set(version["metadata"]["seconds"])
    assert [len(version["manifest"]) for version in versions] == [2] * 5 + [1] * 3
    (data,) = [artifact for artifact in committed if artifact["collection"] == "val"]
    assert data["used_by"] == ["beside"]
    # W&B's own callbacks: a model and a row of metrics after each epoch.
    (run,) = state["runs"].values()
    models = {path for path in run["logged"] if "run_beside_model" in path}
    assert len(models) == 9
    epochs = [0, 1, 2, 3, 4, 0, 1, 5, 5]
    rows = [row for row in run["history"] if "epoch/loss" in row]
    assert [row["epoch/epoch"] for row in rows] == epochs
    rows = [row for row in run["history"] if "eval/samples_per_sec" in row]
    assert [row["eval/epoch"] for row in rows] == epochs
    assert all(row["eval/seconds_inference"] > row["eval/seconds_input"] >= 0 for row in rows)
    assert [row["_step"] for row in run["history"]] == list(range(18))

    everything = [path for path in wandb_backend.directory.rglob("*") if path.is_file()]
    assert len(everything) > 20
    assert [path for path in everything if key.encode() in path.read_bytes()] == [login]
    assert key not in output


@pytest.mark.parametrize(
    ("reference", "partitions", "mode", "launch"),
    [("media", 2, "online", SINGLE), ("row", 1, "offline", ("horovod", 2))],
    ids=["partitions", "row-offline"],
)
def test_cells_and_references_are_read_back(
    reference: str, partitions: int, mode: str, launch: Launch, wandb_backend: WandbBackend
) -> None:
    env = wandb_backend.env | {"WANDB_MODE": mode}
    arguments = ["cells", f"--reference={reference}", f"--partitions={partitions}"]
    check("log_cells.py", *arguments, launch=launch, env=env)
    if mode == "offline":
        assert not wandb_backend.state()["runs"]
        (directory,) = wandb_backend.directory.glob("client/wandb/offline-run-*")
        subprocess.run([BIN / "wandb", "sync", directory], env=os.environ | env, check=True)
    output = check("log_read.py", "cells", reference, env=wandb_backend.client_env("reader"))
    assert "read back" in output
