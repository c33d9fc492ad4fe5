"""What TF_CONFIG says about a worker, before there is a strategy."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

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


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["cluster", "task", "type", "index", "worker"]), inner)
    ),
    max_leaves=8,
)
TASKS = st.fixed_dictionaries({}, optional={"type": JSON, "index": JSON})
CLUSTERS = st.dictionaries(st.sampled_from(["chief", "worker", "ps"]), JSON)
CONFIGS = st.fixed_dictionaries({}, optional={"cluster": CLUSTERS | JSON, "task": TASKS | JSON})


# The environment cannot hold a zero byte, or half of a surrogate pair.
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")) | CONFIGS.map(json.dumps))
def test_any_config_is_understood_or_one_error(text: str) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("TF_CONFIG", text)
        with contextlib.suppress(DistEvalError):
            backend = disteval.get_backend("multiworker")
            assert 0 <= backend.rank < backend.size
