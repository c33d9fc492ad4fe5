"""Elastic training: ranks are lost, even the chief, one joins, and the tables are whole."""

from __future__ import annotations

import re
from pathlib import Path

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
        *("--gloo-timeout-seconds", "10"),
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
    replicas = [versions[epoch]["metadata"]["replicas"] for epoch in range(EPOCHS)]
    assert replicas[:4] == [3, 2, 1, 1]
    assert replicas[-1] == 2
