"""Workers of MultiWorkerMirroredStrategy: predictions, tables, and how they end when one fails."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from multiproc.running import SINGLE, Launch, check, run
from multiproc.test_tables import read, without_scores
from wandb_backend.fixture import WandbBackend

# Seconds; the callback in the script waits 10 s at most, and finds out sooner.
TIMEOUT = 10


def test_predictions_are_those_of_model_predict() -> None:
    output = check("predict_exactly.py", launch=("multiworker", 2))
    assert output.count("all equal") == 2


def test_tables_equal_those_of_one_process(wandb_backend: WandbBackend) -> None:
    launches: list[Launch] = [SINGLE, ("multiworker", 3)]
    tables = []
    for number, launch in enumerate(launches):
        arguments = ("train_with_tables.py", "disteval", f"--run-id=run-{number}")
        env = wandb_backend.client_env("writer") | {"TF_USE_LEGACY_KERAS": "1"}
        assert check(*arguments, launch=launch, env=env).count("trained") == launch[1]
        assert len(wandb_backend.state()["runs"]) == number + 1, "one W&B run for each job"
        tables.append(read(wandb_backend, f"run-{number}"))
    for ours in tables[1:]:
        assert ours["data"] == tables[0]["data"]
        assert list(ours["predictions"]) == list(tables[0]["predictions"])
        for version, table in ours["predictions"].items():
            expected = tables[0]["predictions"][version]
            assert without_scores(table["rows"]) == without_scores(expected["rows"])
            scores = [[row[-1] for row in t["rows"]] for t in (table, expected)]
            assert scores[0] == pytest.approx(scores[1], abs=1e-6)


def test_a_loop_of_ones_own_with_keras_3(tmp_path: Path) -> None:
    launch: Launch = ("multiworker", 2)
    env = {"TF_USE_LEGACY_KERAS": "0", "WANDB_MODE": "disabled"}
    output = check("multiworker_loop.py", "well", tmp_path, launch=launch, env=env)
    assert output.count("ended well") == 2


@pytest.mark.parametrize("end", ["raising", "killed"])
def test_the_others_end_with_an_error(end: str, tmp_path: Path) -> None:
    launch: Launch = ("multiworker", 3)
    env = {"WANDB_MODE": "disabled"}
    done = run("multiworker_loop.py", end, tmp_path, launch=launch, env=env)
    assert done.returncode != 0
    ends = dict(re.findall(r"^rank (\d): ReplicaError after (\d+\.\d) s", done.stdout, re.M))
    failed_itself = ["2"] if end == "raising" else []
    assert sorted(ends) == ["0", "1", *failed_itself], done.stdout
    assert all(float(seconds) < TIMEOUT for seconds in ends.values())
    if end == "raising":
        for rank in range(3):
            error = f"rank {rank}: ReplicaError after .*rank 2 of 3 failed .* ValueError"
            assert re.search(error, done.stdout), done.stdout
