"""The tables of every way of running equal those of `WandbEvalCallback` on one process."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from multiproc.running import BIN, Launch, check
from wandb_backend.fixture import WandbBackend

LAUNCHES: list[Launch] = [
    ("mirrored", 4),
    ("horovodrun", 2),
]
EPOCHS = 3


def read(backend: WandbBackend, run_id: str) -> dict[str, Any]:
    output = check("read_tables.py", run_id, env=backend.client_env(f"reader-{run_id}"))
    return json.loads(output.splitlines()[-1])


def without_scores(rows: list[list[Any]]) -> list[list[Any]]:
    return [row[:-1] for row in rows]


def test_tables_equal_those_of_the_base_class(wandb_backend: WandbBackend) -> None:
    env = wandb_backend.client_env("writer")
    check("train_with_tables.py", "base", "--run-id=base", f"--epochs={EPOCHS}", env=env)
    base = read(wandb_backend, "base")
    runs = 1
    for launch in LAUNCHES:
        run_id = "-".join(map(str, launch))
        check(
            "train_with_tables.py",
            "disteval",
            f"--run-id={run_id}",
            f"--epochs={EPOCHS}",
            *(["--sharded"] if launch[0] == "mirrored" else []),
            launch=launch,
            env=env,
        )
        runs += 1
        assert len(wandb_backend.state()["runs"]) == runs, "one W&B run for each job"
        ours = read(wandb_backend, run_id)
        assert ours["data"] == base["data"]
        assert ours["used"] == base["used"] == ["val:v0"]
        assert len(ours["predictions"]) == len(base["predictions"]) == EPOCHS
        for version, table in ours["predictions"].items():
            expected = base["predictions"][version]
            assert table["columns"] == expected["columns"]
            assert without_scores(table["rows"]) == without_scores(expected["rows"])
            scores = [[row[-1] for row in t["rows"]] for t in (table, expected)]
            assert scores[0] == pytest.approx(scores[1], abs=1e-6)
            epoch = table["rows"][0][0]
            latest = ["latest"] if epoch == EPOCHS - 1 else []
            assert table["aliases"] == sorted([*latest, f"epoch_{epoch}"])
            assert table["metadata"]["samples"] == 23
            ranks = 1 if launch[0] == "mirrored" else launch[1]
            assert len(table["metadata"]["seconds"]["input"]) == ranks
            images = {p: f for p, f in table["files"].items() if p.startswith("media/images/")}
            assert len(images) == 23
            assert all(size == 0 and ref for size, ref in images.values()), "no second upload"


def test_offline_run_syncs_to_the_same_tables(wandb_backend: WandbBackend) -> None:
    env = wandb_backend.client_env("offline")
    arguments = ("train_with_tables.py", "disteval", "--run-id=offline")
    check(*arguments, launch=("horovod", 2), env=env | {"WANDB_MODE": "offline"})
    assert not wandb_backend.state()["runs"]
    (directory,) = wandb_backend.directory.glob("offline/wandb/offline-run-*")
    subprocess.run([BIN / "wandb", "sync", directory], env=os.environ | env, check=True)
    tables = read(wandb_backend, "offline")
    assert len(tables["data"]["rows"]) == 23
    for table in tables["predictions"].values():
        assert [row[1:4] for row in table["rows"]] == tables["data"]["rows"]
        references = {p: ref for p, (_, ref) in table["files"].items() if "images" in p}
        assert all(ref.startswith("wandb-artifact://") for ref in references.values())
        assert set(references) <= set(tables["data"]["files"])


def test_disabled_run_trains_and_logs_nothing(wandb_backend: WandbBackend) -> None:
    env = wandb_backend.client_env("disabled") | {"WANDB_MODE": "disabled"}
    arguments = ("train_with_tables.py", "disteval", "--run-id=disabled")
    assert check(*arguments, launch=("horovod", 2), env=env).count("trained") == 2
    assert not wandb_backend.state()["requests"]
