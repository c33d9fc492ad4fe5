"""Metrics on the terminal."""

from __future__ import annotations

import json

import numpy as np
import pytest

from disteval.checkpoints.output import Output

METRICS = {"loss": 0.123456789, "eval/f1": np.float32(1), "eval/f1/cat": 0.5, "matrix": np.eye(2)}


def test_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(as_json=False, width=12)
    output.add("a.keras", "epoch_0", METRICS)
    output.add("b.keras", "epoch_1", METRICS | {"loss": 1e-7})
    output.add("c.keras", "epoch_2", {"mae": 3})
    assert capsys.readouterr().out.splitlines() == [
        "checkpoint           loss      eval/f1",
        "a.keras          0.123457            1",
        "b.keras             1e-07            1",
        "checkpoint            mae",
        "c.keras                 3",
    ]


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=True, width=1).add("a.keras", "epoch_0", METRICS)
    assert json.loads(capsys.readouterr().out) == {
        "checkpoint": "a.keras",
        "version": "epoch_0",
        "metrics": {
            "loss": 0.123456789, "eval/f1": 1.0, "eval/f1/cat": 0.5,
            "matrix": [[1.0, 0.0], [0.0, 1.0]],
        },
    }  # fmt: skip
