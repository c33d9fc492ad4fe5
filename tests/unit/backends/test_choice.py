"""Which engine is chosen, row by row of the table, and for real models."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import tensorflow as tf

import disteval
from disteval.backends.choice import NAMES, RULES, Rule, decide
from disteval.errors import DistEvalError

keras = tf.keras


def small_model() -> keras.Model:
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])


@pytest.fixture(scope="module")
def strategy() -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy(["CPU:0"])


@pytest.fixture(scope="module")
def mirrored(strategy: tf.distribute.Strategy) -> keras.Model:
    with strategy.scope():
        return small_model()


def test_auto_without_a_model_is_a_single_device() -> None:
    backend = disteval.get_backend()
    facts = (backend.name, backend.rank, backend.size, backend.num_replicas, backend.is_chief)
    assert facts == ("single", 0, 1, 1, True)


def test_auto_follows_the_strategy_of_the_model(
    mirrored: keras.Model, strategy: tf.distribute.Strategy
) -> None:
    assert disteval.get_backend(model=small_model()).name == "single"
    backend = disteval.get_backend(model=mirrored)
    assert backend.name == "mirrored"
    assert backend.strategy is strategy


def test_auto_follows_the_scope_without_a_model(strategy: tf.distribute.Strategy) -> None:
    with strategy.scope():
        assert disteval.get_backend().name == "mirrored"


@pytest.mark.parametrize("in_scope", [False, True])
def test_single_leaves_the_strategy_of_the_model(
    in_scope: bool, mirrored: keras.Model, strategy: tf.distribute.Strategy
) -> None:
    if in_scope:
        with strategy.scope():
            backend = disteval.get_backend("single", model=mirrored)
    else:
        backend = disteval.get_backend("single", model=mirrored)
    assert backend.name == "single"
    assert not isinstance(backend.strategy, tf.distribute.MirroredStrategy)


def test_mirrored_needs_a_model_of_the_strategy(mirrored: keras.Model) -> None:
    assert disteval.get_backend("mirrored", model=mirrored).name == "mirrored"
    with pytest.raises(DistEvalError, match=r"MirroredStrategy.*strategy\.scope\(\).*\"auto\""):
        disteval.get_backend("mirrored", model=small_model())


@pytest.mark.parametrize("name", ["nccl", "", None])
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(DistEvalError, match=f"backend={name!r}.*{', '.join(map(repr, NAMES))}"):
        disteval.get_backend(name)


def test_horovod_has_to_be_initialized_or_built() -> None:
    # Which of the two it is depends on whether Horovod is installed here.
    with pytest.raises(DistEvalError, match=r"Horovod .*(`hvd\.init\(\)`|launch/setup\.sh)"):
        disteval.get_backend("horovod")


@pytest.mark.parametrize("size", ["2", "64"])
def test_a_rank_of_horovodrun_has_to_be_initialized(
    size: str, mirrored: keras.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOROVOD_SIZE", size)
    told = rf"`horovodrun` started\. Received: backend=\"auto\" with {size} ranks.*`hvd\.init\(\)`"
    for model in (None, mirrored):
        with pytest.raises(DistEvalError, match=rf"{told}.*backend=\"single\""):
            disteval.get_backend(model=model)
    assert disteval.get_backend("single").name == "single"
    assert disteval.get_backend("mirrored", model=mirrored).name == "mirrored"


@pytest.mark.parametrize("size", ["1", "", "two"])
def test_a_job_of_one_rank_needs_no_horovod(size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOROVOD_SIZE", size)
    assert disteval.get_backend().name == "single"


# The values of the facts of a rule that are not fixed by it, in the order of its fields.
FACTS: dict[str, tuple[Any, ...]] = {
    "backend": NAMES,
    "horovod": (False, True),
    "strategy": ("single", "mirrored", "multiworker"),
    "model": (False, True),
    "workers": (False, True),
}
SITUATIONS = list(itertools.product(*FACTS.values()))


def rule_of(situation: tuple[Any, ...]) -> Rule:
    fitting = (
        r for r in RULES if all(a in (None, b) for a, b in zip(r[:5], situation, strict=True))
    )
    return next(fitting)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: "-".join(map(str, rule)))
def test_each_rule_decides_what_no_earlier_one_does(rule: Rule) -> None:
    decided = [situation for situation in SITUATIONS if rule_of(situation) is rule]
    assert decided
    for backend, horovod, strategy, model, workers in decided:
        engine = decide(backend, horovod=horovod, strategy=strategy, model=model, workers=workers)
        assert engine == rule.engine


@pytest.mark.parametrize("situation", SITUATIONS, ids=str)
def test_what_was_asked_for_runs_or_is_refused(situation: tuple[Any, ...]) -> None:
    backend, horovod, strategy, model, workers = situation
    engine = decide(backend, horovod=horovod, strategy=strategy, model=model, workers=workers)
    if backend == "auto":
        expected = strategy if strategy != "single" or model or not workers else "multiworker"
        assert engine == ("horovod" if horovod else expected)
    else:
        refused = backend in ("mirrored", "multiworker") and model and strategy != backend
        assert engine == (None if refused else backend)
