"""An evaluation that waits for its input says so, once for each dataset."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import tensorflow as tf

import disteval
from disteval.data.coercion import as_source
from disteval.inference import input_wait
from sample_data import Batches


def warnings(
    caplog: pytest.LogCaptureFixture, data: Any, input_seconds: list[float], seconds: float
) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.WARNING, "disteval"):
        input_wait.warn(as_source(data), input_seconds, seconds)
    return [record.getMessage() for record in caplog.records]


def test_a_dataset_for_which_ranks_wait_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    dataset = tf.data.Dataset.range(10)
    (message,) = warnings(caplog, dataset, [1.5, 1.75], 2)
    assert "waited for its input 1.75 of 2 s, since each of 2 ranks reads all" in message
    assert "disteval.sharded(elements, lambda d: d.map(decode).batch(32))" in message
    assert warnings(caplog, dataset, [1.5, 1.75], 2) == []
    assert len(warnings(caplog, tf.data.Dataset.range(10), [1.5, 1.75], 2)) == 1


@pytest.mark.parametrize(
    ("data", "input_seconds", "seconds"),
    [
        (tf.data.Dataset.range(10), [1.75], 2),  # one rank
        (tf.data.Dataset.range(10), [1.0, 1.0], 2),  # less than most of the time
        (tf.data.Dataset.range(10), [0.9, 0.9], 0.95),  # short
        (disteval.sharded(tf.data.Dataset.range(10), lambda d: d), [1.5, 1.75], 2),
        (Batches(tf.range(10).numpy(), 3), [1.5, 1.75], 2),
        (tf.range(10).numpy(), [1.5, 1.75], 2),
    ],
)
def test_what_could_not_be_faster_is_not_warned_of(
    caplog: pytest.LogCaptureFixture, data: Any, input_seconds: list[float], seconds: float
) -> None:
    assert warnings(caplog, data, input_seconds, seconds) == []
