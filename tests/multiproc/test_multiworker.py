"""Workers of MultiWorkerMirroredStrategy: predictions, tables, and how they end when one fails."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from multiproc.running import SINGLE, Launch, check, run
from multiproc.test_tables import read, without_scores
from wandb_backend.fixture import WandbBackend

# From the fault to the error. A worker that has left may be missed only once another has ended.
SECONDS = {"raises": 30, "killed": 40, "stopped": 40}


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


def loop(end: str, victim: int, folder: Path, workers: int) -> dict[int, str]:
    """Runs a loop of one's own with Keras 3; what each worker says at its end."""
    launch: Launch = ("multiworker", workers)
    env = {"TF_USE_LEGACY_KERAS": "0", "WANDB_MODE": "disabled"}
    done = run("multiworker_loop.py", end, victim, folder, launch=launch, env=env)
    assert (done.returncode == 0) == (end == "well"), done.stdout
    ends = {int(path.name[5:]): path.read_text() for path in folder.glob("rank-*")}
    says_nothing = {victim} if end in ("killed", "stopped") else set()
    assert ends.keys() == set(range(workers)) - says_nothing, done.stdout
    return ends


def test_a_loop_of_ones_own_with_keras_3(tmp_path: Path) -> None:
    assert loop("well", 0, tmp_path, workers=2) == {0: "ended well", 1: "ended well"}


@pytest.mark.parametrize(
    ("end", "victim", "workers", "message"),
    [
        ("raises", 2, 3, "rank 2 of 3 failed in on_train_begin with ValueError: .*no more scores"),
        ("killed", 0, 3, "most likely since a peer is gone"),
        # Whoever tells first: the timeout of 5 s, or TensorFlow's heartbeats of 10 s.
        ("stopped", 1, 2, "(no answer in the evaluation of epoch 1 for |most likely .*beats)"),
    ],
)
def test_a_failure_of_one_worker_is_an_error_on_all(
    end: str, victim: int, workers: int, message: str, tmp_path: Path
) -> None:
    for text in loop(end, victim, tmp_path, workers).values():
        seconds, _, error = text.partition("\n")
        assert float(seconds) < SECONDS[end]
        assert re.match(f"ReplicaError: .*{message}", error, re.DOTALL), error
