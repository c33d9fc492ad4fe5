"""Metrics of an assessment by name."""

from __future__ import annotations

import numpy as np
import pytest

from disteval.errors import DistEvalError
from disteval.tasks.assessment import Assessment

ASSESSMENT = Assessment({"ap": np.float32(0.5), "ap50": 0.75}, np.zeros(1), {})


def test_chosen_metrics_are_named_as_they_were_asked_for() -> None:
    assert ASSESSMENT.chosen(["AP", "ap50"], "DetectionEval") == {"AP": 0.5, "ap50": 0.75}


def test_an_unknown_metric() -> None:
    message = "not a metric of DetectionEval. Received: 'f1'. Expected: some of 'ap', 'ap50'"
    with pytest.raises(DistEvalError, match=message):
        ASSESSMENT.chosen(["f1"], "DetectionEval")


def test_tasks_without_means_and_outcome() -> None:
    assert not ASSESSMENT.means
    assert ASSESSMENT.outcome is None
