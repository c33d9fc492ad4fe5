"""What a run left on disk is uploaded later, whatever of it is damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import wandb

from disteval.errors import DistEvalError
from disteval.tables import packages, uploads
from disteval.tables.left_behind import upload_left
from disteval.tables.uploads import Uploads
from disteval.tables.worker import Worker
from unit.tables.test_uploads import REFUSED, add, committed
from unit.tables.test_uploads import run as run
from wandb_backend.fixture import WandbBackend


def test_an_upload_goes_on_after_a_failure_and_leaves_the_run_as_it_was(
    run: wandb.Run, wandb_backend: WandbBackend
) -> None:
    up = Uploads(run, Worker("uploads"))
    add(up)
    up.drain()
    wandb_backend.faults(**REFUSED | {"fail_first": 99})
    add(up, 1, 2, 3, data="000000-val")
    up.drain()
    wandb_backend.faults()
    run.finish()
    damaged = up.folder / "000002-epoch_2" / packages.DESCRIPTION
    damaged.write_text("{")
    said: list[str] = []
    with pytest.raises(DistEvalError, match=r"^2 tables were uploaded, and 1 could not") as info:
        upload_left(up.folder.parent.parent, said.append)
    assert str(damaged) in str(info.value)
    assert said == ["Uploading 2 tables to tester/uploads/uploads"]
    assert {name: aliases for name, (aliases, _) in committed(wandb_backend).items()} == {
        "val:v0": ["latest"],
        "pred:v0": ["epoch_1"],
        "pred:v1": ["epoch_3", "latest"],
    }
    (state,) = (known["state"] for known in wandb_backend.state()["runs"].values())
    assert state == "finished"


def test_a_folder_that_does_not_say_to_which_run_it_belongs(tmp_path: Path) -> None:
    for number, content in enumerate(("{", "[]", '{"entity": "a"}', None)):
        folder = tmp_path / str(number)
        package = folder / "000001-epoch_1"
        package.mkdir(parents=True)
        description = {"name": "pred", "type": "evaluation", "metadata": {}, "aliases": [],
                       "uses": False, "data": None, "references": [], "foreign": []}  # fmt: skip
        (package / packages.DESCRIPTION).write_text(json.dumps(description))
        if content is not None:
            (folder / uploads.RUN).write_text(content)
    with pytest.raises(DistEvalError, match=r"^0 tables were uploaded, and 4 could not") as info:
        upload_left(tmp_path)
    for number in range(4):
        assert str(tmp_path / str(number)) in str(info.value)
