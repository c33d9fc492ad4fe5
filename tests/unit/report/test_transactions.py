"""The artifacts of an offline run, as its `.wandb` file describes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import wandb

from disteval.report.parts import find_run
from disteval.report.read import read_run
from disteval.report.transactions import read_artifacts


@pytest.fixture
def run_directory(folder: Path) -> Path:
    """Returns the directory of an offline run with two artifacts."""
    with wandb.init(mode="offline", project="p") as run:
        first = wandb.Artifact("val", type="dataset", metadata={"n": 1})
        with first.new_file("text.txt") as file:
            file.write("x" * 100_000)  # longer than a block of the file
        run.log_artifact(first, aliases=["latest"])
        run.log({"eval/epoch": 3, "eval/loss": 0.5})
        second = wandb.Artifact(f"run_{run.id}_pred", type="evaluation")
        table = wandb.Table(columns=["label"], data=[["cat"], ["dog"]])
        second.add(table, "eval_data")
        run.log_artifact(second, aliases=["epoch_3"])
        directory = Path(run.dir).parent
    wandb.teardown()  # W&B's service has then written everything.
    return directory


def test_artifacts_are_read_with_their_files(run_directory: Path) -> None:
    first, second = read_artifacts(run_directory)
    assert (first.name, first.type, first.metadata) == ("val", "dataset", {"n": 1})
    assert first.aliases == ["latest"]
    assert first.files["text.txt"].read_text() == "x" * 100_000
    table = json.loads(second.files["eval_data.table.json"].read_text())
    assert table["data"] == [["cat"], ["dog"]]
    assert second.references == []


def test_a_run_is_read_by_its_directory_or_one_above(run_directory: Path) -> None:
    assert find_run(run_directory) == find_run(run_directory.parent) == run_directory.resolve()
    run = read_run(run_directory)
    assert run.project == "p"
    (version,) = run.versions
    assert "epoch_3" in version.aliases
    assert version.columns == {"label": ["cat", "dog"]}
