"""Checkpoints that are W&B artifacts, on a real server."""

from __future__ import annotations

from pathlib import Path

import pytest
import wandb

from disteval.checkpoints.files import Checkpoint
from disteval.checkpoints.inputs import alias_of, local_path
from disteval.errors import DistEvalError
from unit.checkpoints.helpers import saved
from wandb_backend.fixture import WandbBackend


def test_a_path_stays_what_it_is() -> None:
    assert local_path("some/model.keras") == Path("some/model.keras")


def test_an_artifact_is_downloaded_and_an_input_of_the_run(
    tmp_path: Path, wandb_backend: WandbBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in wandb_backend.client_env("client").items():
        monkeypatch.setenv(name, value)
    wandb.teardown()  # W&B reads its settings once.
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "model.keras")
    with wandb.init(project="models") as run:
        for name, files in {"model": ["model.keras"], "two": ["a.keras", "b.keras"]}.items():
            artifact = wandb.Artifact(name, "model")
            for file in files:
                artifact.add_file(str(tmp_path / "model.keras"), file)
            run.log_artifact(artifact).wait()
    with wandb.init(project="models") as run:
        path = local_path("wandb-artifact://model:v0")
        assert path.read_bytes() == (tmp_path / "model.keras").read_bytes()
        with pytest.raises(DistEvalError, match="an artifact with 2 of them"):
            local_path("wandb-artifact://two:v0")
        with pytest.raises(DistEvalError, match="cannot be downloaded"):
            local_path("wandb-artifact://missing:v0")
    assert [each.name for each in wandb.Api().run(run.path).used_artifacts()] == [
        "model:v0",
        "two:v0",
    ]
    wandb.teardown()


@pytest.mark.parametrize(
    ("given", "alias"),
    [
        ("some/model-3.keras", "model-3"),
        ("wandb-artifact://model:v3", "model-v3"),
        ("wandb-artifact://entity/project/run_ab12_model:latest", "run_ab12_model-latest"),
    ],
)
def test_aliases(given: str, alias: str) -> None:
    assert alias_of(given, Checkpoint(Path("some/model-3.keras"), 1, 1)) == alias
