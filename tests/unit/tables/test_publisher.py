"""Hooks run in order, in the background or not, and their errors and those of W&B come back."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import pytest
import wandb

from disteval.errors import DataError, DistEvalError
from disteval.tables.publisher import MAX_WAITING, Publisher, run_identity
from disteval.tables.version import Version
from unit.tables.tables_only import Eval, version_of


def publish(publisher: Publisher, version: Version) -> None:
    publisher.newest = version
    publisher.publish()


@pytest.mark.parametrize("asynchronous", [True, False])
def test_tables_are_logged_in_order(
    asynchronous: bool, run: wandb.Run, logged: list[wandb.Artifact]
) -> None:
    threads = []

    class Recorded(Eval):
        def add_model_predictions(self, epoch: int, logs: Any = None) -> None:
            threads.append(threading.current_thread())
            super().add_model_predictions(epoch, logs)

    publisher = Recorded(asynchronous=asynchronous).publisher
    publisher.begin(None, {})
    for epoch in range(5):
        publish(publisher, version_of(epoch))
    publisher.finish()
    assert [artifact.name for artifact in logged] == ["val"] + [f"run_{run.id}_pred"] * 5
    assert [artifact.metadata["epoch"] for artifact in logged[1:]] == list(range(5))
    assert all(artifact.metadata["seconds"]["tables"] > 0 for artifact in logged[1:])
    assert (threading.current_thread() in threads) is not asynchronous
    assert len(set(threads)) == 1


@pytest.mark.parametrize("asynchronous", [True, False])
def test_errors_of_hooks_are_raised(asynchronous: bool, run: wandb.Run) -> None:
    class Fails(Eval):
        def add_model_predictions(self, epoch: int, logs: Any = None) -> None:
            raise ValueError(f"epoch {epoch}")

    publisher = Fails(asynchronous=asynchronous).publisher
    publisher.begin(None, {})
    if not asynchronous:
        with pytest.raises(ValueError, match="epoch 0"):
            publish(publisher, version_of(0))
        return
    for epoch in range(2):
        publish(publisher, version_of(epoch))
    with pytest.raises(ValueError, match="epoch 0"):
        publisher.finish()
    assert publisher.take_error() is None


@pytest.mark.parametrize("asynchronous", [True, False])
def test_errors_of_the_ground_truth_are_raised_at_once(
    asynchronous: bool, run: wandb.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wandb.Table, "MAX_ARTIFACT_ROWS", 2)
    with pytest.raises(DataError, match="3 rows"):
        Eval(asynchronous=asynchronous).publisher.begin(None, {})


@pytest.mark.parametrize("on_log_error", ["warn", "raise"])
def test_errors_of_w_and_b_are_raised_if_asked_for(on_log_error: str, run: wandb.Run) -> None:
    publisher = Eval(on_log_error=on_log_error).publisher
    publisher.begin(None, {})
    run.finish()
    publish(publisher, version_of(0))
    error = publisher.take_error()
    assert isinstance(error, DistEvalError) if on_log_error == "raise" else error is None
    assert publisher.take_error() is None


def test_a_warning_says_when_training_waits_for_hooks(
    run: wandb.Run, caplog: pytest.LogCaptureFixture
) -> None:
    go = threading.Event()

    class Waits(Eval):
        def add_model_predictions(self, epoch: int, logs: Any = None) -> None:
            go.wait(30)
            super().add_model_predictions(epoch, logs)

    publisher = Waits(asynchronous=True).publisher
    publisher.begin(None, {})
    threading.Timer(0.2, go.set).start()
    for epoch in range(MAX_WAITING + 3):
        publish(publisher, version_of(epoch))
    publisher.finish()
    (record,) = caplog.records
    assert f"{MAX_WAITING} versions wait" in record.getMessage()
    assert "num_samples" in record.getMessage()


def test_a_version_that_was_logged_is_freed(run: wandb.Run) -> None:
    publisher = Eval(asynchronous=True).publisher
    publisher.begin(None, {})
    publisher.newest = version = version_of(0)
    freed = weakref.ref(version)
    publisher.publish()
    publisher.newest = version = version_of(1)
    publisher.finish()
    gc.collect()
    assert freed() is None


def test_a_run_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    publisher = Eval(is_chief=False).publisher
    with pytest.raises(DistEvalError, match="before training"):
        publisher.log  # noqa: B018
    with pytest.raises(DistEvalError, match=r"no W&B run on rank 0. Expected: wandb.init"):
        publisher.begin(None, {})
    publisher.finish()
    publisher.drain()


def test_the_log_is_that_of_the_newest_run(run: wandb.Run) -> None:
    publisher = Eval().publisher
    publisher.begin(None, {})
    log = publisher.log
    publisher.begin(None, {})
    assert publisher.log is log
    run.finish()
    with wandb.init(project="tables") as other:
        publisher.begin(None, {})
        assert publisher.log.run is other


def test_a_run_is_resumed_from_its_identity(run: wandb.Run) -> None:
    publisher = Eval().publisher
    identity = run_identity()
    assert identity == {"entity": run.entity, "project": "tables", "id": run.id}
    run.finish()
    assert run_identity() is None
    publisher.begin(identity, {})
    assert wandb.run.id == identity["id"]
    wandb.run.finish()
    with wandb.init(mode="disabled"):
        assert run_identity() is None


def test_without_a_hook_the_version_is_the_newest(run: wandb.Run) -> None:
    publisher = Eval(asynchronous=True).publisher
    assert publisher.version == Version()
    publisher.newest = version_of(7)
    assert publisher.version is publisher.newest
