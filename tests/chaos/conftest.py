"""Chaos does not count for coverage: what it runs depends on what is drawn."""

import pytest


@pytest.fixture(autouse=True)
def _measure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COVERAGE_FOLDER", raising=False)
