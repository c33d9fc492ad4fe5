"""Fixtures for all tests."""

import os
from collections.abc import Iterator

import hypothesis
import pytest

from wandb_backend.fixture import wandb_backend

__all__ = ["wandb_backend"]

# There is no deadline, because how long an example takes depends on how busy the machine is. Every
# run tries the same examples; `pytest --hypothesis-profile explore` tries new ones.
hypothesis.settings.register_profile("repeat", deadline=None, derandomize=True)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=5000)
hypothesis.settings.load_profile("repeat")


@pytest.fixture(autouse=True)
def no_shared_service() -> Iterator[None]:
    """Keeps later tests from joining the W&B service that a test started in this process."""
    yield
    os.environ.pop("WANDB_SERVICE", None)
