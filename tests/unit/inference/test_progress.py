"""The bar of a long evaluation."""

from __future__ import annotations

import pytest

from disteval.inference import progress
from disteval.inference.progress import Progress


def test_a_short_evaluation_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    bar = Progress(1, 10)
    bar.update(5)
    bar.close(10)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("verbose", "shown"), [(1, True), (0, False), ("auto", False)])
def test_a_long_evaluation_shows_the_samples(
    verbose: str | int,
    shown: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0)  # as if it had taken long; no terminal here
    bar = Progress(verbose, 10)
    bar.update(5)
    bar.close(10)
    output = capsys.readouterr().out
    assert ("10/10" in output) == shown
    assert output.endswith("\n") == shown
