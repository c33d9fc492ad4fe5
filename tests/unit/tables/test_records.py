"""The records of a run's `.wandb` file: cut off, filled up with zeros, damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
import wandb

from disteval.errors import DistEvalError
from disteval.tables.records import read_records


@pytest.fixture
def path(run: wandb.Run) -> Path:
    """Returns the file of an offline run."""
    artifact = wandb.Artifact("val", type="dataset", metadata={"long": "x" * 100_000})
    run.log_artifact(artifact)  # longer than a block of the file
    run.log({"eval/epoch": 3, "eval/loss": 0.5})
    run.finish()
    wandb.teardown()  # W&B's service has then written everything.
    return Path(run.settings.sync_file)


def test_a_record_of_several_blocks_is_whole(path: Path) -> None:
    (artifact,) = [r.artifact for r in read_records(path) if r.HasField("artifact")]
    assert "x" * 100_000 in artifact.metadata


def test_a_file_that_is_still_written_is_read_to_its_end(path: Path) -> None:
    whole = list(read_records(path))
    path.write_bytes(path.read_bytes()[:-3])
    assert list(read_records(path)) == whole[:-1]


def test_zeros_at_the_end_are_what_a_machine_that_went_down_leaves(path: Path) -> None:
    whole = list(read_records(path))
    with path.open("ab") as file:
        file.write(bytes(100_000))
    assert list(read_records(path)) == whole


@pytest.mark.parametrize("position", [0, 20, -20])
def test_damage_is_an_error(position: int, path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)
    with pytest.raises(DistEvalError, match="The log of a run is damaged"):
        list(read_records(path))


def test_a_log_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "run.wandb").mkdir()
    with pytest.raises(DistEvalError, match=r"cannot be read: .*run\.wandb is no regular file"):
        list(read_records(tmp_path / "run.wandb"))
