"""Workers of MultiWorkerMirroredStrategy: predictions, and how they end when one fails.

Their tables are those of `test_launchers.py`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from multiproc.running import Launch, check, run

# From the fault to the error. A worker that has left may be missed only once another has ended.
SECONDS = {"raises": 30, "killed": 40, "stopped": 40}


def test_predictions_are_those_of_model_predict() -> None:
    output = check("predict_exactly.py", launch=("multiworker", 2))
    assert output.count("all equal") == 2


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
