"""Metrics in the logs, and the warning that `fit` computes them as well."""

from __future__ import annotations

import pytest

from disteval.tables.sets import SetName
from disteval.validation import ValidationLogs


def test_metrics_of_the_last_evaluation_are_added() -> None:
    validation = ValidationLogs("auto")
    assert validation.record({"loss": 0.5}, step=3) == {"val_loss": 0.5}
    assert validation.metrics == {"loss": 0.5}
    logs = {"loss": 1.0}
    validation.add_to(logs, step=3)
    assert logs == {"loss": 1.0, "val_loss": 0.5}
    validation.add_to(None, step=3)  # as in a loop of one's own


def test_metrics_of_earlier_weights_are_not_added() -> None:
    validation = ValidationLogs("auto")
    validation.record({"loss": 0.5}, step=3)
    logs = {"loss": 1.0}
    validation.add_to(logs, step=4)
    assert logs == {"loss": 1.0}


def test_what_fit_computed_is_left() -> None:
    validation = ValidationLogs(True)
    validation.record({"loss": 0.5}, step=3)
    logs = {"val_loss": 0.7}
    validation.add_to(logs, step=3)
    assert logs == {"val_loss": 0.7}


@pytest.mark.parametrize(("validate", "wanted"), [("auto", False), (True, True)])
def test_fit_that_validates_by_itself(
    validate: str | bool, wanted: bool, caplog: pytest.LogCaptureFixture
) -> None:
    validation = ValidationLogs(validate)
    validation.warn(1.0)
    assert validation.is_wanted
    assert not caplog.messages
    validation.begin_fit()
    validation.end_fit()
    assert validation.is_wanted is wanted
    for _ in range(2):
        validation.warn(0.25)
    (message,) = caplog.messages
    assert "the sharded evaluation took 0.25 s" in message


def test_a_later_training_may_leave_validation_to_us() -> None:
    validation = ValidationLogs("auto")
    validation.begin_fit()
    validation.end_fit()
    assert not validation.is_wanted
    validation.begin()
    assert validation.is_wanted


def test_without_validation_there_is_nothing_to_warn_of(caplog: pytest.LogCaptureFixture) -> None:
    validation = ValidationLogs(False)
    validation.begin_fit()
    validation.end_fit()
    validation.warn(0.25)
    assert not caplog.messages


def test_metrics_of_a_named_set_have_its_name() -> None:
    validation = ValidationLogs("auto", SetName("night"))
    assert validation.record({"loss": 0.5}, 10) == {"val_night_loss": 0.5}
    logs = {"loss": 1.0}
    validation.add_to(logs, 10)
    assert logs == {"loss": 1.0, "val_night_loss": 0.5}
    assert validation.metrics == {"loss": 0.5}
