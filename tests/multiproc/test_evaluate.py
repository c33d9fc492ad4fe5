"""`disteval.evaluate` on every engine."""

from __future__ import annotations

from pathlib import Path

from multiproc.running import check

KERAS_2 = {"TF_USE_LEGACY_KERAS": "1"}


def test_metrics_are_those_of_the_saved_model(tmp_path: Path) -> None:
    check("evaluate_exactly.py", tmp_path, launch=("horovod", 2))


def test_some_metrics_on_several_devices(tmp_path: Path) -> None:
    check("evaluate_exactly.py", tmp_path, "--some", launch=("mirrored", 2))


def test_some_metrics_of_keras_2(tmp_path: Path) -> None:
    check("evaluate_exactly.py", tmp_path, "--some", launch=("multiworker", 2), env=KERAS_2)
