"""The history of samples on each kind of replicas, and after a resume."""

from __future__ import annotations

from pathlib import Path

import pytest

from multiproc.running import Launch, check, processes
from wandb_backend.fixture import WandbBackend

LAUNCHES: list[Launch] = [("mirrored", 2), ("horovod", 2)]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("launch", LAUNCHES, ids=str)
def test_history_equals_that_of_the_saved_models(launch: Launch, tmp_path: Path) -> None:
    env = {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_DATA_DIR": str(tmp_path)}
    for first, last in ((0, 4), (4, 6)) if launch[0] == "horovod" else ((0, 4),):
        output = check("log_history.py", tmp_path, first, last, launch=launch, env=env)
        assert output.count("all passed") == processes(launch)
        assert "starts anew" not in output


def test_a_resume_on_another_machine_says_that_it_starts_anew(
    wandb_backend: WandbBackend, tmp_path: Path
) -> None:
    for machine in ("one", "two"):
        (tmp_path / machine).mkdir()
        # Without what the other wrote, only the server knows that there was a version.
        output = check("log_history.py", tmp_path / machine, 0, 2, env=wandb_backend.env)
        assert output.count("The history of the samples starts anew") == (machine == "two")
        assert output.count("'size' starts anew") == (machine == "two")
