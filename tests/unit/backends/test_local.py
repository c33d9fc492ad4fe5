"""What one process does alone: it agrees with itself, and keeps what it has."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import disteval
from disteval.backends.agreement import Agreement
from disteval.backends.local import LocalBackend
from disteval.backends.status import Status
from disteval.errors import DataError


def test_one_process_agrees_with_itself() -> None:
    with disteval.get_backend().together("here", config={"n": 1}) as agreement:
        agreement.report = {"m": 2}
        agreement.payload = np.ones(1, np.uint8)
        agreement.progress = 3
        agreement.check()
        assert not agreement.reports
    assert agreement.reports == [{"m": 2}]
    assert [payload.tolist() for payload in agreement.payloads] == [[1]]
    assert agreement.total_progress() == 3


@pytest.mark.parametrize("error", [ValueError("own"), DataError("own"), KeyboardInterrupt()])
def test_together_raises_what_the_block_raised(error: BaseException) -> None:
    with pytest.raises(type(error)) as info, disteval.get_backend().together("here"):
        raise error
    assert info.value is error


def test_an_engine_agrees_once_about_a_block() -> None:
    steps: list[str] = []

    class Recording(LocalBackend):
        """Records what is agreed on."""

        def _agreement(self, status: Status) -> Agreement:
            steps.append(status.step)
            return super()._agreement(status)

    backend = Recording("single", tf.distribute.get_strategy())
    backend.agree("first", {"n": 1})
    with backend.together("second"):
        pass
    assert steps == ["first", "second"]


def test_one_process_broadcasts_to_itself() -> None:
    values = [np.arange(3), np.ones(())]
    received = disteval.get_backend().broadcast(values)
    assert all(a is b for a, b in zip(received, values, strict=True))


def test_nothing_travels_in_one_process() -> None:
    destination = np.zeros(3, np.uint8)
    disteval.get_backend().gather([np.ones(3, np.uint8)], [3], [[destination]])
    assert not destination.any()
