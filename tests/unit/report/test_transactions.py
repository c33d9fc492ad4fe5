"""What a W&B run wrote to its `.wandb` file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import wandb

from disteval.errors import DistEvalError
from disteval.report.parts import find_run
from disteval.report.read import read_run
from disteval.report.transactions import read_artifacts, read_records


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


def test_a_file_that_is_still_written_is_read_to_its_end(run_directory: Path) -> None:
    (path,) = run_directory.glob("*.wandb")
    whole = list(read_records(path))
    path.write_bytes(path.read_bytes()[:-3])
    assert list(read_records(path)) == whole[:-1]


def test_zeros_at_the_end_are_what_a_machine_that_went_down_leaves(run_directory: Path) -> None:
    (path,) = run_directory.glob("*.wandb")
    whole = list(read_records(path))
    with path.open("ab") as file:
        file.write(bytes(100_000))
    assert list(read_records(path)) == whole


@pytest.mark.parametrize("position", [0, 20, -20])
def test_damage_is_an_error(position: int, run_directory: Path) -> None:
    (path,) = run_directory.glob("*.wandb")
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)
    with pytest.raises(DistEvalError, match="The log of a run is damaged"):
        list(read_records(path))


def test_a_log_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "run.wandb").mkdir()
    with pytest.raises(DistEvalError, match=r"cannot be read: .*run\.wandb is no regular file"):
        list(read_records(tmp_path / "run.wandb"))


def test_a_run_is_read_by_its_directory_or_one_above(run_directory: Path) -> None:
    assert find_run(run_directory) == find_run(run_directory.parent) == run_directory.resolve()
    run = read_run(run_directory)
    assert run.project == "p"
    (version,) = run.versions
    assert "epoch_3" in version.aliases
    assert version.columns == {"label": ["cat", "dog"]}
