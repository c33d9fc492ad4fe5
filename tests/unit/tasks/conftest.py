"""A disabled W&B run for each test: the base class of all evaluators insists on a run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import wandb


@pytest.fixture(autouse=True)
def _disabled_run() -> Iterator[None]:
    with wandb.init(mode="disabled"):
        yield
