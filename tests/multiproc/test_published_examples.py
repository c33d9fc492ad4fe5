"""The examples that are published for `WandbEvalCallback` work with the base class changed."""

from __future__ import annotations

import json

import pytest
from sklearn.datasets import load_digits

from multiproc.running import Launch, check
from wandb_backend.fixture import WandbBackend

LAUNCHES: list[Launch] = [("mirrored", 2), ("horovod", 2)]
EPOCHS, SHOWN = 2, 20


@pytest.mark.parametrize("launch", LAUNCHES, ids=str)
def test_examples(launch: Launch, wandb_backend: WandbBackend) -> None:
    env = wandb_backend.client_env("writer")
    output = check("examples_train.py", launch=launch, env=env)
    run_ids = [f"{name}-{'-'.join(map(str, launch))}" for name in ("loader", "arrays")]
    state = wandb_backend.state()
    assert sorted(run["id"] for run in state["runs"].values()) == sorted(run_ids)
    reading = check("tasks_read.py", *run_ids, env=wandb_backend.client_env("reader"))
    found = json.loads(reading.splitlines()[-1])
    labels = load_digits().target[:SHOWN].tolist()
    for run_id in run_ids:
        name = run_id.partition("-")[0]
        (predicted,) = [
            json.loads(line[line.index(f"{name} [") + len(name) :])
            for line in output.splitlines()
            if f"{name} [" in line
        ]
        (data,) = found[run_id]["data"]
        assert data["columns"] == ["idx", "image", "ground_truth"]
        assert [(row[0], row[2]) for row in data["rows"]] == list(enumerate(labels))
        versions = found[run_id]["predictions"]
        assert len(versions) == EPOCHS
        for version in versions:
            assert version["columns"] == ["epoch", "idx", "image", "ground_truth", "prediction"]
            (epoch,) = {row[0] for row in version["rows"]}
            assert f"epoch_{epoch}" in version["aliases"]
            assert [row[1:4] for row in version["rows"]] == data["rows"]
            assert [row[4] for row in version["rows"]] == predicted
    pictures = [
        entry
        for artifact in state["artifacts"]
        if artifact["type"] == "evaluation"
        for path, entry in artifact["manifest"].items()
        if path.startswith("media/")
    ]
    assert pictures
    assert all(entry.get("ref") for entry in pictures), "no second upload"
