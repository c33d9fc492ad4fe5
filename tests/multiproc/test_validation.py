"""Validation within `fit`: the callbacks of Keras decide the same on all ranks."""

from __future__ import annotations

from pathlib import Path

import pytest

from multiproc.running import Launch, check, processes


@pytest.mark.parametrize("launch", [("mirrored", 2), ("horovod", 2)], ids=str)
def test_callbacks_after_ours(launch: Launch, tmp_path: Path) -> None:
    output = check("validate_fit.py", tmp_path, launch=launch)
    assert output.count("passed stopped_on_one_rank") == processes(launch)
