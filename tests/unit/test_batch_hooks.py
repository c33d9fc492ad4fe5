"""The hooks that run on each batch: `infer` counts only where it is overridden."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import wandb

import disteval

keras = tf.keras
X = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
Y = np.random.default_rng(1).normal(size=(10, 1)).astype(np.float32)


class Plain(disteval.DistEvalCallback):
    def __init__(self, **options: Any) -> None:
        super().__init__(["x"], ["y"], validation_data=(X, Y), **options)

    def add_ground_truth(self, logs: Any = None) -> None:
        pass

    def add_model_predictions(self, epoch: int, logs: Any = None) -> None:
        pass


class Doubled(Plain):
    def infer(self, model: Any, batch: Any) -> Any:
        return 2 * super().infer(model, batch)


@pytest.fixture
def model() -> keras.Model:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", loss="mse")
    return model


@pytest.fixture(autouse=True)
def _offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("DIR", "DATA_DIR", "CACHE_DIR", "CONFIG_DIR"):
        monkeypatch.setenv(f"WANDB_{name}", str(tmp_path))
    wandb.teardown()  # W&B reads its settings once.
    with wandb.init(mode="offline"):
        yield


def test_an_infer_that_is_not_overridden_costs_no_second_pass() -> None:
    assert Plain().batch_functions(eager=False).infer is None
    doubled = Doubled()
    assert doubled.batch_functions(eager=True).infer == doubled.infer


def test_an_infer_with_other_arguments_is_an_error() -> None:
    class Wrong(Plain):
        def infer(self, batch: Any) -> Any:  # type: ignore[override]
            return batch

    with pytest.raises(disteval.DistEvalError, match=r"def infer\(model, batch\)"):
        Wrong()
    with pytest.raises(disteval.DistEvalError, match="eager='yes'"):
        Plain(eager="yes")


def test_metrics_are_those_of_the_model_whatever_infer_makes(
    model: keras.Model, caplog: pytest.LogCaptureFixture
) -> None:
    expected = model.evaluate(X, Y, verbose=0, return_dict=True)
    with caplog.at_level(logging.WARNING, "disteval"), Doubled() as callback:
        for epoch in range(2):
            assert callback.evaluate(model, epoch) == pytest.approx(expected)
            np.testing.assert_allclose(callback.predictions, 2 * model(X), atol=1e-6)
    said = [record.message for record in caplog.records if record.name == "disteval"]
    assert len(said) == 1
    assert "second forward pass" in said[0]


def test_without_metrics_there_is_nothing_to_say(
    model: keras.Model, caplog: pytest.LogCaptureFixture
) -> None:
    with Doubled(validate=False) as callback:
        callback.evaluate(model, 0)
    assert [record for record in caplog.records if record.name == "disteval"] == []
