"""Fixtures for all tests."""

import os
import re
import signal
from collections.abc import Iterator

import hypothesis
import pytest

from disteval.doctor.gpus import expected_gpus
from wandb_backend.fixture import wandb_backend

__all__ = ["wandb_backend"]

# There is no deadline, because how long an example takes depends on how busy the machine is. Every
# run tries the same examples; `pytest --hypothesis-profile explore` tries new ones.
hypothesis.settings.register_profile("repeat", deadline=None, derandomize=True)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=5000)
hypothesis.settings.load_profile("repeat")


# A job in the background of a shell ignores Ctrl-C, and with nohup the end of its terminal, and so
# would the launchers that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True, scope="module")
def measure_coverage(request: pytest.FixtureRequest) -> Iterator[None]:
    """Keeps the processes that tests start from measuring coverage, which takes half as long again.

    Those of the unit tests run what cannot run in the process of a test.
    """
    with pytest.MonkeyPatch.context() as monkeypatch:
        if not request.module.__name__.startswith("unit."):
            monkeypatch.delenv("COVERAGE_FOLDER", raising=False)
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuses names that differ between processes; skips tests of GPUs where there is none."""
    for item in items:
        # The workers of pytest-xdist have to find the same names, or no test runs at all. Now and
        # then an address is the same in all of them, so that a run that passes shows nothing.
        if re.search(r" at 0x[0-9a-f]{4}", item.nodeid):
            raise pytest.UsageError(f"A test is named after an object's address: {item.nodeid}")
    if not expected_gpus():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU"))


@pytest.fixture(autouse=True)
def no_shared_service() -> Iterator[None]:
    """Keeps later tests from joining the W&B service that a test started in this process."""
    yield
    os.environ.pop("WANDB_SERVICE", None)
