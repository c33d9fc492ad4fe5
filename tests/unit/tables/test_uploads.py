"""Uploads to a backend that fails: in order, none lost, and no longer waited for than useful."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import wandb

from disteval.errors import DistEvalError
from disteval.tables import packages, uploads
from disteval.tables.left_behind import upload_left
from disteval.tables.uploads import Uploads
from disteval.tables.worker import Worker
from wandb_backend.fixture import WandbBackend

REFUSED = {"only": ["CreateArtifact"], "fail_first": 1, "status": 400}


@pytest.fixture
def run(wandb_backend: WandbBackend, monkeypatch: pytest.MonkeyPatch) -> Iterator[wandb.Run]:
    """A run of this process, online."""
    for name, value in wandb_backend.env.items():
        monkeypatch.setenv(name, value)
    for what in ("GRAPHQL", "FILE_TRANSFER", "FILE_STREAM"):
        monkeypatch.setenv(f"WANDB__{what}_RETRY_MAX", "0")
    wandb.teardown()  # W&B reads its settings once.
    with wandb.init(project="uploads", id="uploads") as run:
        yield run
        wandb_backend.faults()
    wandb.teardown()


def artifact(number: int, name: str = "pred", type: str = "evaluation") -> wandb.Artifact:
    made = wandb.Artifact(name, type)
    made.add(wandb.Table(columns=["number"], data=[[number]]), "table")
    made.finalize()
    return made


def add(to: Uploads, *numbers: int, data: str | None = None, name: str = "pred") -> None:
    data = data or to.add(artifact(0, "val", "dataset"), [])
    for number in numbers:
        to.add(artifact(number, name), ["latest", f"epoch_{number}"], data=data)


def committed(backend: WandbBackend) -> dict[str, list[Any]]:
    """The aliases of each committed version, and the number in its table."""
    return {
        artifact["path"].split("/")[-1]: [
            artifact["aliases"],
            backend.content(artifact, "table.table.json")["data"][0][0],
        ]
        for artifact in backend.state()["artifacts"]
        if artifact["state"] == "COMMITTED"
    }


def test_versions_are_committed_in_order(run: wandb.Run, wandb_backend: WandbBackend) -> None:
    worker = Worker("uploads")
    up = Uploads(run, worker)
    add(up, 1, 2)
    up.drain()
    worker.raise_error()
    assert committed(wandb_backend) == {
        "val:v0": [["latest"], 0],
        "pred:v0": [["epoch_1"], 1],
        "pred:v1": [["epoch_2", "latest"], 2],
    }
    assert [path.name for path in up.folder.iterdir()] == [uploads.RUN]


def test_a_refused_version_is_tried_again_before_the_next(
    run: wandb.Run, wandb_backend: WandbBackend, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker("uploads")
    up = Uploads(run, worker)
    add(up)
    up.drain()
    wandb_backend.faults(**REFUSED)
    add(up, 1, 2, data="000000-val")
    up.drain()
    assert committed(wandb_backend) == {
        "val:v0": [["latest"], 0],
        "pred:v0": [["epoch_1"], 1],
        "pred:v1": [["epoch_2", "latest"], 2],
    }
    assert list(packages.find(up.folder)) == []
    (warning,) = (record.getMessage() for record in caplog.records)
    assert "could not log pred (" in warning
    assert f"python -m disteval upload {up.folder.parent.parent}`" in warning
    with pytest.raises(DistEvalError, match="injected failure"):
        worker.raise_error()
    worker.raise_error()


def test_versions_that_were_refused_one_after_the_other_keep_the_newest_aliases(
    run: wandb.Run, wandb_backend: WandbBackend
) -> None:
    up = Uploads(run, Worker("uploads"))
    add(up)
    up.drain()
    # The first one is refused when it comes, and again before the second.
    wandb_backend.faults(**REFUSED | {"fail_first": 3})
    for number in (1, 2):
        up.add(artifact(number), ["latest", f"epoch_{number}", "best"], data="000000-val")
    up.drain()
    assert committed(wandb_backend) == {
        "val:v0": [["latest"], 0],
        "pred:v0": [["epoch_1"], 1],
        "pred:v1": [["best", "epoch_2", "latest"], 2],
    }


def test_a_version_whose_answer_was_lost_is_not_kept(
    run: wandb.Run, wandb_backend: WandbBackend, caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker("uploads")
    up = Uploads(run, worker)
    add(up)
    up.drain()
    wandb_backend.faults(only=["CommitArtifact"], lose_first=1, status=400)
    add(up, 1, data="000000-val")
    up.drain()
    worker.raise_error()
    assert committed(wandb_backend)["pred:v0"] == [["epoch_1", "latest"], 1]
    assert list(packages.find(up.folder)) == []
    assert not caplog.records


def test_a_version_that_is_refused_again_does_not_take_back_aliases(
    run: wandb.Run, wandb_backend: WandbBackend
) -> None:
    up = Uploads(run, Worker("uploads"))
    add(up)
    up.drain()
    wandb_backend.faults(**REFUSED | {"fail_first": 2})
    add(up, 1, 2, data="000000-val")
    up.drain()
    assert committed(wandb_backend) == {
        "val:v0": [["latest"], 0],
        "pred:v0": [["epoch_2", "latest"], 2],
        "pred:v1": [["epoch_1"], 1],
    }


def test_what_is_refused_to_the_end_is_kept_and_named(
    run: wandb.Run, wandb_backend: WandbBackend, caplog: pytest.LogCaptureFixture
) -> None:
    up = Uploads(run, Worker("uploads"))
    add(up)
    up.drain()
    wandb_backend.faults(**REFUSED | {"fail_first": 99})
    add(up, 1, data="000000-val")
    up.drain()
    (kept,) = packages.find(up.folder)
    assert kept.description["aliases"] == ["latest", "epoch_1"]
    last = caplog.records[-1].getMessage()
    assert "1 tables of run uploads could not be uploaded" in last
    wandb_backend.faults()


def test_data_that_were_refused_go_ahead_of_the_next_version(
    run: wandb.Run, wandb_backend: WandbBackend
) -> None:
    wandb_backend.faults(**REFUSED)
    up = Uploads(run, Worker("uploads"))
    add(up, 1, 2)
    up.drain()
    assert set(committed(wandb_backend)) == {"val:v0", "pred:v0", "pred:v1"}
    assert list(packages.find(up.folder)) == []


def test_a_backend_that_is_gone_is_waited_for_only_once(
    run: wandb.Run,
    wandb_backend: WandbBackend,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(uploads, "STALL_SECONDS", 0.5)
    monkeypatch.setattr(uploads, "POLL_SECONDS", 0.1)
    wandb_backend.faults(gone_after=0)
    worker = Worker("uploads")
    up = Uploads(run, worker)
    add(up, 1, 2)
    up.drain()
    assert {package.name for package in packages.find(up.folder)} == {
        "000000-val",
        "000001-epoch_1",
        "000002-epoch_2",
    }
    with pytest.raises(DistEvalError, match="It is kept in"):
        worker.raise_error()
    (named,) = [r for r in caplog.records if "tables of run" in r.getMessage()]
    assert "000000-val, 000001-epoch_1, 000002-epoch_2" in named.getMessage()
    up.drain()
    worker.close()
    assert len([r for r in caplog.records if "tables of run" in r.getMessage()]) == 1
    wandb_backend.faults()
    # The client is still trying to send the first one, and may do so now.
    run.finish()
    left = len(list(packages.find(up.folder)))
    assert left in (2, 3)
    assert upload_left(up.folder.parent.parent) == left
    assert sorted(committed(wandb_backend)) == ["pred:v0", "pred:v1", "val:v0"]
    with pytest.raises(DistEvalError, match="no tables to upload"):
        upload_left(up.folder.parent.parent)


def test_a_backend_that_answers_is_waited_for(
    run: wandb.Run, wandb_backend: WandbBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "STALL_SECONDS", 0.2)
    monkeypatch.setattr(uploads, "POLL_SECONDS", 0.9)
    wandb_backend.faults(delay=0.3)
    up = Uploads(run, Worker("uploads"))
    add(up, 1)
    up.drain()
    assert list(packages.find(up.folder)) == []
    assert set(committed(wandb_backend)) == {"val:v0", "pred:v0"}


def test_callbacks_of_one_run_have_folders_of_their_own(
    run: wandb.Run, wandb_backend: WandbBackend
) -> None:
    workers = [Worker("uploads"), Worker("uploads")]
    both = [Uploads(run, worker) for worker in workers]
    for number, up in enumerate(both, start=1):
        add(up, number, name=f"pred_{number}")
    for up, worker in zip(both, workers, strict=True):
        up.drain()
        worker.raise_error()
    assert both[0].folder != both[1].folder
    assert set(committed(wandb_backend)) == {"val:v0", "pred_1:v0", "pred_2:v0"}


@pytest.mark.parametrize("module", ["artifacts", "packages", "uploads", "wandb_private", "worker"])
def test_an_upload_needs_no_tensorflow(module: str) -> None:
    code = f"import sys, disteval.tables.{module}; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
