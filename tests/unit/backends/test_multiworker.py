"""What TF_CONFIG says about a worker, before there is a strategy."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

import disteval
from disteval.errors import DistEvalError

WORKERS = {"worker": ["a:1", "b:1", "c:1"]}
WITH_CHIEF = {"chief": ["a:1"], "worker": ["b:1", "c:1"]}


def set_config(monkeypatch: pytest.MonkeyPatch, cluster: object, task: object) -> None:
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))


@pytest.mark.parametrize(
    ("cluster", "task_type", "index", "rank"),
    [
        (WORKERS, "worker", 0, 0),
        (WORKERS, "worker", 2, 2),
        (WITH_CHIEF, "chief", 0, 0),
        (WITH_CHIEF, "worker", 0, 1),
        (WITH_CHIEF, "worker", 1, 2),
    ],
)
def test_rank_0_is_the_chief_or_the_first_worker(
    monkeypatch: pytest.MonkeyPatch, cluster: object, task_type: str, index: int, rank: int
) -> None:
    set_config(monkeypatch, cluster, {"type": task_type, "index": index})
    for name in ("auto", "multiworker"):
        backend = disteval.get_backend(name)
        assert (backend.name, backend.rank, backend.size) == ("multiworker", rank, 3)
        assert backend.is_chief == (rank == 0)
        assert backend.num_replicas == 3


def test_one_worker_alone_is_a_single_device(monkeypatch: pytest.MonkeyPatch) -> None:
    set_config(monkeypatch, {"worker": ["a:1"]}, {"type": "worker", "index": 0})
    assert disteval.get_backend().name == "single"
    assert disteval.get_backend("multiworker").size == 1


@pytest.mark.parametrize(
    ("cluster", "task"),
    [
        (WORKERS, {"type": "worker", "index": 3}),
        (WORKERS, {"type": "worker"}),
        (WORKERS, {}),
        (WORKERS, {"type": "chief", "index": 0}),
        ({**WORKERS, "ps": ["d:1"]}, {"type": "ps", "index": 0}),
        (["a:1", "b:1"], {"type": "worker", "index": 0}),
    ],
)
def test_a_config_that_does_not_say_who_this_is(
    monkeypatch: pytest.MonkeyPatch, cluster: object, task: object
) -> None:
    set_config(monkeypatch, cluster, task)
    with pytest.raises(DistEvalError, match=r"Received: .*cluster.*Expected: .*launch/multiworker"):
        disteval.get_backend()


def test_a_config_that_is_no_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", "worker 0 of 2")
    with pytest.raises(DistEvalError, match="Received: 'worker 0 of 2'"):
        disteval.get_backend()


def test_evaluating_needs_a_model_of_the_strategy(monkeypatch: pytest.MonkeyPatch) -> None:
    set_config(monkeypatch, WORKERS, {"type": "worker", "index": 0})
    model = tf.keras.Sequential([tf.keras.Input((2,)), tf.keras.layers.Dense(1)])
    with pytest.raises(DistEvalError, match="MultiWorkerMirroredStrategy"):
        disteval.predict(model, np.zeros((4, 2), np.float32), backend="multiworker")
