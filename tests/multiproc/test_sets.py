"""Several sets of validation data in one training."""

from __future__ import annotations

import re

import pytest

from disteval.tables.sets import SetName
from multiproc.running import Launch, check, processes
from wandb_backend.fixture import WandbBackend

HOSTILE = SetName("<script>alert(1)</script> 🌙").slug


@pytest.mark.parametrize("launch", [("mirrored", 2), ("horovod", 2)], ids=str)
def test_sets_are_apart_in_wandb(launch: Launch, wandb_backend: WandbBackend) -> None:
    output = check("log_sets.py", "sets", launch=launch, env=wandb_backend.env)
    assert output.count("all passed") == processes(launch)
    state = wandb_backend.state()
    (run,) = state["runs"].values()
    rows: dict[str, list[int]] = {}
    for artifact in state["artifacts"]:
        if artifact["state"] == "COMMITTED" and not artifact["collection"].startswith("run-"):
            samples = artifact["metadata"].get("samples", 0)
            rows.setdefault(artifact["collection"], []).append(samples)
    assert rows == {
        "val": [0],
        "val_night": [0],
        f"val_{HOSTILE}": [0],
        "run_sets_pred": [30, 30],
        "run_sets_pred_night": [25, 25],
        f"run_sets_pred_{HOSTILE}": [7, 7, 7, 7],
    }
    assert all(re.fullmatch(r"[\w.-]{1,128}", name, re.ASCII) for name in rows)
    for prefix, count in (("eval/", 2), ("eval/night/", 2), (f"eval/{HOSTILE}/", 4)):
        speed = f"{prefix}samples_per_sec"
        assert sum(speed in row for row in run["history"]) == count, speed
    assert sum("eval/night/f1" in row for row in run["history"]) == 2
    best = [a for a in state["artifacts"] if "best" in a["aliases"]]
    assert {artifact["collection"] for artifact in best} == {"run_sets_pred_night"}
