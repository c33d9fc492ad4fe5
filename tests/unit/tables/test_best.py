"""Which version is the best, also of a run that goes on."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import wandb

from disteval.errors import DistEvalError
from disteval.tables.best import FILE, Monitor
from disteval.tables.run_folder import own_folder, write_json
from unit.tables.tables_only import Eval, version_of


def best(monitor: Monitor, *values: float) -> list[bool]:
    return [monitor.is_best({"value": v, monitor.monitor or "": v}, {}) for v in values]


def test_the_best_is_better_than_all_before() -> None:
    assert best(Monitor("loss"), 3, 2, 2, 4, 1) == [True, True, False, False, True]
    assert best(Monitor("loss", "max"), 3, 2, 4) == [True, False, True]
    assert best(Monitor(None), 3, 2) == [False, False]


@pytest.mark.parametrize(
    "name",
    ["accuracy", "val_acc", "val_auc", "mean_iou", "f1_score", "ap", "val_AP", "eval/ap/cat"],
)
def test_auto_maximizes_what_grows(name: str) -> None:
    assert best(Monitor(name), 0.1, 0.2, 0.1) == [True, True, False]


@pytest.mark.parametrize("name", ["loss", "val_loss", "mae", "mape", "ece"])
def test_auto_minimizes_everything_else(name: str) -> None:
    assert best(Monitor(name), 0.1, 0.2, 0.05) == [True, False, True]


def test_nan_is_never_the_best() -> None:
    assert best(Monitor("loss"), math.nan, 2, math.nan, 1) == [False, True, False, True]


@pytest.mark.parametrize("name", ["accuracy", "eval/accuracy", "Accuracy"])
def test_metrics_that_hooks_add(name: str) -> None:
    monitor = Monitor(name)
    found = [monitor.is_best({"loss": 1.0}, {"accuracy": value}) for value in (0.5, 0.4, 0.6)]
    assert found == [True, False, True]


def test_the_logs_count_before_the_metrics() -> None:
    monitor = Monitor("loss")
    assert monitor.is_best({"loss": 1.0}, {"loss": 9.0})
    assert not monitor.is_best({"loss": 2.0}, {"loss": 0.0})


def test_a_missing_value_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    monitor = Monitor("val_loss")
    assert [monitor.is_best({"loss": 1.0}, {"f1": 1.0, "plot": ()}) for _ in "123"] == [False] * 3
    (message,) = caplog.messages
    assert "monitor='val_loss' is not in the logs" in message
    assert message.endswith("Received: loss, f1.")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("loss", "best"), "mode='best'"),
        ((5,), "`monitor` is not a name. Received: monitor=5"),
        ((["loss"],), "`monitor` is not a name"),
    ],
)
def test_other_arguments_are_refused(arguments: Any, told: str) -> None:
    with pytest.raises(DistEvalError, match=told):
        Monitor(*arguments)


def log(monitor: str, *losses: float) -> list[bool]:
    """Returns which versions of a new callback become the best."""
    callback = Eval(monitor=Monitor(monitor))
    callback.publisher.begin(None, {})
    found = []
    for loss in losses:
        version = version_of(0)
        version.logs["loss"] = loss
        callback.publisher.newest = version
        callback.publisher.publish()
        found.append("best" in version.aliases)
    return found


def test_another_callback_of_the_run_goes_on(run: wandb.Run) -> None:
    assert log("loss", 2.0, 0.5, 1.0) == [True, True, False]
    assert log("loss", 3.0, 0.4) == [False, True], "0.5 was better than 3.0"
    assert run.summary["eval/best/loss"] == 0.4
    assert log("epoch_loss", 3.0) == [False]


def test_an_offline_run_that_is_resumed(run: wandb.Run, caplog: pytest.LogCaptureFixture) -> None:
    assert log("loss", 0.5) == [True]
    first = Path(run.dir)
    run.finish()
    # The folder is named by the second, and W&B takes one that is there for its own.
    first.parent.rename(first.parent.with_name(f"offline-run-20250101_000000-{run.id}"))
    with wandb.init(mode="offline", id=run.id, resume="allow") as resumed:
        assert Path(resumed.dir) != first.parent.with_name("files")
        assert resumed.summary.get("eval/best/loss") is None, "or the file were needless"
        assert log("loss", 3.0, 0.4) == [False, True]
    with wandb.init(mode="offline", id=f"x-{run.id}"):
        assert log("loss", 3.0) == [True], "another run"


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"loss": "low"}', '{"loss": null}'])
def test_a_damaged_file_is_ignored(
    content: str, run: wandb.Run, caplog: pytest.LogCaptureFixture
) -> None:
    write_json(own_folder(run) / FILE, 0)
    (own_folder(run) / FILE).write_text(content)
    assert log("loss", 0.5, 1.0) == [True, False]
    assert any(f"{FILE} is damaged, and ignored" in message for message in caplog.messages)


def test_a_disabled_run_remembers_nothing() -> None:
    with wandb.init(mode="disabled"):
        assert log("loss", 2.0, 3.0) == [True, False]
        assert log("loss", 3.0) == [True]
