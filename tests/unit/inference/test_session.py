"""Evaluations one after the other, and what is kept between them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import disteval
from disteval.backends.agreement import Agreement
from disteval.backends.local import LocalBackend
from disteval.backends.status import Status
from disteval.errors import DataOrderError, DistEvalError
from disteval.inference.evaluation import Options
from disteval.inference.functions import BatchFunctions
from disteval.inference.session import Loops, Session

keras = tf.keras
X = np.arange(30, dtype=np.float32).reshape(10, 3)


class Recording(LocalBackend):
    """Records the steps that all ranks take together."""

    def _agreement(self, status: Status) -> Agreement:
        self.steps = [*getattr(self, "steps", []), status.step]
        return super()._agreement(status)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return keras.Sequential([keras.Input((3,)), keras.layers.Rescaling(2.0)])


def test_the_config_is_what_has_to_be_equal() -> None:
    session = Session((X, X), BatchFunctions(), Options(num_samples=5, verbose=1))
    assert session.config() == {
        "num_samples": 5,
        "batch_size": None,
        "sync_weights": "auto",
        "validate": False,
        "validation_data": "tuple",
        "eager": False,
    }


def test_modes_of_comparing_weights() -> None:
    for mode in ("auto", "check", "off"):
        assert Options(sync_weights=mode).sync_weights == mode
    with pytest.raises(DistEvalError, match="Received: sync_weights='always'"):
        Options(sync_weights="always")


def test_samples_are_there_once_training_has_begun(model: keras.Model) -> None:
    session = Session((X, X), BatchFunctions(), Options(num_samples=4))
    with pytest.raises(DistEvalError, match=r"before training.*on_train_begin first"):
        session.samples()
    assert session.prepare(disteval.get_backend(model=model), model)
    np.testing.assert_array_equal([x for x, _ in session.samples()], X[:4])


def test_an_evaluation_before_training_is_an_error_on_every_rank(model: keras.Model) -> None:
    backend = Recording("single", tf.distribute.get_strategy())
    with pytest.raises(DistEvalError, match=r"before training.*on_train_begin first"):
        Session((X, X), BatchFunctions(), Options()).evaluate(backend, model, "epoch 0")
    assert backend.steps == ["epoch 0"], "other ranks learn of it, since it is raised in a step"


def test_a_session_traces_once(model: keras.Model) -> None:
    traces = []

    def postprocess(outputs: tf.Tensor, batch: Any) -> tf.Tensor:
        traces.append(batch)
        return outputs

    backend = disteval.get_backend(model=model)
    session = Session((X, X), BatchFunctions(postprocess), Options(batch_size=4))
    session.prepare(backend, model)
    for epoch in range(3):
        evaluation = session.evaluate(backend, model, f"epoch {epoch}")
        np.testing.assert_array_equal(evaluation.predictions, 2 * X)
    assert len(traces) == 1


def test_data_that_change_their_length_are_found(model: keras.Model) -> None:
    lengths = iter([10, 10, 10, 10, 9])

    def generate() -> Any:
        yield from X[: next(lengths)]

    data = tf.data.Dataset.from_generator(generate, output_signature=tf.TensorSpec([3]))
    backend = disteval.get_backend(model=model)
    session = Session(data, BatchFunctions(), Options())
    session.prepare(backend, model)  # reads three times: to trace, and twice to compare
    session.evaluate(backend, model, "epoch 0")
    with pytest.raises(DataOrderError, match="9 samples in epoch 1, and had 10 before"):
        session.evaluate(backend, model, "epoch 1")


def test_an_earlier_error_is_raised(model: keras.Model) -> None:
    session = Session(X, BatchFunctions(), Options())
    with pytest.raises(KeyError, match="hook"):
        session.evaluate(
            disteval.get_backend(model=model), model, "epoch 0", earlier_error=KeyError("hook")
        )


def test_a_loop_is_made_anew_for_another_postprocess(model: keras.Model) -> None:
    loops, strategy = Loops(), tf.distribute.get_strategy()
    first = loops.get(model, BatchFunctions(), strategy)
    assert loops.get(model, BatchFunctions(), strategy) is first
    other = loops.get(model, BatchFunctions(lambda outputs, batch: outputs), strategy)
    assert other is not first
    assert loops.get(model, BatchFunctions(), tf.distribute.OneDeviceStrategy("CPU:0")) is not first
