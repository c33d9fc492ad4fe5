"""Fixtures for all tests."""

import os
from collections.abc import Iterator

import hypothesis
import pytest

from wandb_backend.fixture import wandb_backend

__all__ = ["wandb_backend"]

# What an example takes says how busy the machine is.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")


@pytest.fixture(autouse=True)
def no_shared_service() -> Iterator[None]:
    """Keeps processes of later tests from joining the W&B service that a test started in this."""
    yield
    os.environ.pop("WANDB_SERVICE", None)
