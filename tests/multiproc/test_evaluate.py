"""`disteval.evaluate` on every engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from multiproc.running import Launch, check

KERAS_2 = {"TF_USE_LEGACY_KERAS": "1"}


def test_metrics_are_those_of_the_saved_model(tmp_path: Path) -> None:
    check("evaluate_exactly.py", tmp_path, launch=("horovod", 2))


@pytest.mark.parametrize("launch", [("single", 1), ("mirrored", 2), ("horovod", 3)], ids=str)
def test_some_metrics_on_other_engines(launch: Launch, tmp_path: Path) -> None:
    check("evaluate_exactly.py", tmp_path, "--some", launch=launch)


def test_some_metrics_of_keras_2(tmp_path: Path) -> None:
    check("evaluate_exactly.py", tmp_path, "--some", launch=("multiworker", 2), env=KERAS_2)
