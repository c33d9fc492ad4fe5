"""An evaluation needs little more memory than its predictions: no second copy on any rank."""

from __future__ import annotations

import json
import re

import pytest

from multiproc.running import SINGLE, Launch, check

# Rank 1 holds what it evaluates, the chief the predictions of all ranks.
COPIES = 1.2
# MB that do not depend on the number of samples: a segment of the loop, and the pieces in which
# the gather travels, each of them once in NumPy, in TensorFlow and in Horovod.
ALLOWANCE = 40


@pytest.mark.parametrize(
    ("launch", "how"), [(SINGLE, "predict"), (("horovod", 2), "callback")], ids=str
)
def test_peak_memory_is_that_of_the_predictions(launch: Launch, how: str) -> None:
    output = check("measure_memory.py", how, launch=launch)
    reports = [json.loads(found) for found in re.findall(r"memory (\{.*?\})", output)]
    print(reports)
    assert sorted(report["rank"] for report in reports) == list(range(launch[1]))
    for report in reports:
        grown, held = report["grown"], report["held"]
        assert grown > 0.9 * held, f"the measurement misses the predictions: {report}"
        assert grown < COPIES * held + ALLOWANCE, reports
