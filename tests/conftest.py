"""Fixtures for all tests."""

from wandb_backend.fixture import wandb_backend

__all__ = ["wandb_backend"]
