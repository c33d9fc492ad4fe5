"""What the metadata of a version say, and which values go to the run."""

from __future__ import annotations

import json
import math

import numpy as np

from disteval.backends.choice import get_backend
from disteval.inference import receipts
from disteval.inference.evaluation import Evaluation
from disteval.tables.sets import SetName
from disteval.tables.version import MAX_RECEIPT, Version


def evaluated(version: Version, written: list[list[receipts.Stride]]) -> Version:
    """Adds an evaluation of 10,000 samples to a version."""
    seconds = {"inference": 1.5, "gather": 0.5}
    evaluation = Evaluation(np.zeros(10_000), {}, 10_000, written, seconds, 40_000, None, [0.25, 1])
    version.add(evaluation, get_backend("single"))
    return version


def test_metadata_stay_short_however_samples_were_read() -> None:
    shards = [np.arange(5000), 5000 + np.random.default_rng(0).permutation(5000)]
    written = [receipts.write(shard) for shard in shards]
    version = evaluated(Version.start("epoch", 3, 3, 30, {"loss": 0.5}), written)
    assert version.aliases == ["latest", "epoch_3"]
    assert version.metadata["receipts"] == [[[0, 5000, 0, 1]], {"samples": 5000}]
    assert version.metadata["seconds"]["input"] == [0.25, 1]
    assert len(written[1]) > MAX_RECEIPT
    assert len(json.dumps(version.metadata)) < 500


def test_logs_are_a_copy() -> None:
    logs = {"loss": 0.5}
    version = Version.start("step", 30, 3, 30, logs)
    logs["loss"] = 0.25
    assert version.aliases == ["latest", "step_30"]
    assert version.metadata == {"epoch": 3, "step": 30, "logs": {"loss": 0.5}}
    assert version.logs == {"loss": 0.5}


def test_values_of_the_run() -> None:
    version = Version.start("epoch", 3, 3, 30, None)
    assert version.scalars() == {}
    plot = object()
    version.add_metrics({"accuracy": 0.5, "auc": math.nan})
    version.add_metrics({"curve": plot})
    metrics = {"eval/accuracy": 0.5, "eval/auc": version.metrics["auc"], "eval/curve": plot}
    assert version.scalars() == {"eval/epoch": 3, **metrics}
    assert version.metadata["metrics"] == {"accuracy": 0.5}
    assert evaluated(version, []).scalars() == {
        "eval/epoch": 3,
        "eval/samples_per_sec": 5000,
        "eval/seconds_inference": 1.5,
        "eval/seconds_gather": 0.5,
        "eval/seconds_input": 1,
        **metrics,
    }


def test_values_of_a_named_set() -> None:
    version = Version.start("epoch", 3, 3, 30, None, SetName("night"))
    version.add_metrics({"accuracy": 0.5})
    assert version.metadata["set"] == "night"
    assert evaluated(version, []).scalars() == {
        "eval/epoch": 3,
        "eval/night/samples_per_sec": 5000,
        "eval/night/seconds_inference": 1.5,
        "eval/night/seconds_gather": 0.5,
        "eval/night/seconds_input": 1,
        "eval/night/accuracy": 0.5,
    }
