"""Elastic training: ranks are lost, even the chief, one joins, and the tables are whole."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multiproc.launching import launch, read
from multiproc.running import SCRIPTS
from wandb_backend.fixture import WandbBackend

# For Horovod three hosts, since it uses a host no more on which a rank failed.
HOSTS = """#!/bin/sh
printf 'localhost:1\\n127.0.0.1:1\\n127.1:1\\n'
[ ! -e {folder}/more ] || {{ echo 127.0.1:1; touch {folder}/seen; }}
"""
# Enough for Horovod to tell the rank that is left of the new host, at the end of an epoch.
EPOCHS = 7


@pytest.mark.timeout(600)
def test_training_and_evaluation_go_on(wandb_backend: WandbBackend, tmp_path: Path) -> None:
    discovery = tmp_path / "hosts.sh"
    discovery.write_text(HOSTS.format(folder=tmp_path))
    discovery.chmod(0o755)
    output = launch(
        "horovod.sh",
        *("-np", "3", "--min-np", "1", "--max-np", "3"),
        *("--host-discovery-script", discovery, "--network-interfaces", "lo"),
        # Until the ranks that wait for a lost one give up.
        *("--gloo-timeout-seconds", "30"),
        *("--script", SCRIPTS / "elastic.py"),
        *("--", tmp_path, "--epochs", str(EPOCHS), "--samples", "40"),
        env=wandb_backend.client_env("writer"),
        timeout=560,
    )
    epochs = re.findall(r"epoch (\d) on rank (\d) of (\d)", output)
    sizes = [(int(epoch), int(size)) for epoch, _, size in epochs]
    assert {(0, 3), (1, 3), (1, 2), (2, 2), (2, 1), (3, 1)} <= set(sizes)
    assert sizes[-1] == (EPOCHS - 1, 2)
    assert len(wandb_backend.state()["runs"]) == 1
    tables = read(wandb_backend)
    assert tables["used"] == ["val:v0"]
    truth = [row[:3] for row in tables["data"]["rows"]]
    assert len(truth) == 40
    versions = {table["metadata"]["epoch"]: table for table in tables["predictions"].values()}
    assert sorted(versions) == list(range(EPOCHS))
    for epoch, table in versions.items():
        assert {row[0] for row in table["rows"]} == {epoch}
        assert [row[1:4] for row in table["rows"]] == truth
    check_history(read(wandb_backend, "history")["predictions"])
    replicas = [versions[epoch]["metadata"]["replicas"] for epoch in range(EPOCHS)]
    assert replicas[:4] == [3, 2, 1, 1]
    assert replicas[-1] == 2


def check_history(tables: dict[str, dict[str, Any]]) -> None:
    """Compares the history in each version with the predictions in all, before and after losses."""
    ordered = sorted(tables.values(), key=lambda table: table["metadata"]["epoch"])
    assert [table["metadata"]["epoch"] for table in ordered] == list(range(EPOCHS))
    columns = [
        {name: np.array(cells, object) for name, cells in zip(table["columns"], cells, strict=True)}
        for table in ordered
        for cells in [zip(*table["rows"], strict=True)]
    ]
    confidence = np.exp(-np.stack([each["loss"] for each in columns]).astype(float))
    right = np.stack([each["correct"] for each in columns]).astype(bool)
    for epoch, known in enumerate(columns):
        until = slice(epoch + 1)
        expected = {
            "times_forgotten": (right[until][:-1] & ~right[until][1:]).sum(axis=0),
            "mean_confidence": confidence[until].mean(axis=0),
            "variability": confidence[until].std(axis=0),
        }
        if epoch:
            before = columns[epoch - 1]["prediction"]
            expected |= {"previous": before, "changed": before != known["prediction"]}
        for name, column in expected.items():
            found = known[name].tolist()
            assert found == pytest.approx(column.tolist(), abs=1e-9), (epoch, name)
