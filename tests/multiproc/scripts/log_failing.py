"""Failures of the hooks and of W&B: training goes on, or ends with one error on every rank."""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Iterator

import tensorflow as tf
import wandb

import disteval
import replicas
from log_parts import Eval, Scale, data, faults, make_model

REFUSED = {"only": ["CreateArtifact"], "fail_first": 1, "status": 400}
ROWS, EPOCHS = 20, 4

replicas.start()
chief = disteval.get_backend(replicas.BACKEND).is_chief
if not chief:
    # Only the chief logs in.
    del os.environ["WANDB_API_KEY"]
warnings = io.StringIO()
logging.getLogger("disteval").addHandler(logging.StreamHandler(warnings))


class BadTruth(Eval):
    def add_ground_truth(self, logs=None):
        raise ValueError("no ground truth")


class BadPredictions(Eval):
    def add_model_predictions(self, epoch, logs=None):
        if epoch == 1:
            raise ValueError("no predictions")
        super().add_model_predictions(epoch, logs)


class UsesModel(Eval):
    def add_model_predictions(self, epoch, logs=None):
        self.add_predictions(score=self.model.predict(data(ROWS)[0], verbose=0)[:, 0])


class IsCommitted(tf.keras.callbacks.Callback):
    """Expects each version to be W&B's when the epoch ends, as an elastic job does."""

    def on_epoch_end(self, epoch, logs=None):
        if chief:
            run = wandb.run
            name = f"{run.entity}/{run.project}/run_{run.id}_pred:epoch_{epoch}"
            assert wandb.Api().artifact(name).state == "COMMITTED"


class CountEpochs(tf.keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def on_epoch_end(self, epoch, logs=None):
        self.count += 1


@contextlib.contextmanager
def case(name: str, **plan: object) -> Iterator[CountEpochs]:
    """A W&B run of its own; yields the callback that counts epochs."""
    warnings.seek(0)
    warnings.truncate()
    if chief:
        wandb.init(project="logging", id=name)
        faults(**plan)
    yield CountEpochs()
    if chief:
        wandb.finish()
        faults()
    print("done:", name, flush=True)


def train(
    callback: disteval.DistEvalCallback, counter: CountEpochs, *more: tf.keras.callbacks.Callback
) -> None:
    callbacks = [Scale(), callback, counter, *more]
    make_model().fit(*data(ROWS), epochs=EPOCHS, verbose=0, callbacks=callbacks)


def error_of(callback: disteval.DistEvalCallback, counter: CountEpochs) -> disteval.DistEvalError:
    try:
        train(callback, counter)
    except disteval.DistEvalError as error:
        return error
    raise AssertionError("no error")


for mode in ("warn", "raise"):
    with case(f"truth-{mode}") as epochs:
        error = error_of(BadTruth(ROWS, on_log_error=mode), epochs)
        assert isinstance(error, disteval.ReplicaError), error
        assert "no ground truth" in str(error)
        assert "add_ground_truth" in str(error)
        assert epochs.count == 0

for asynchronous in (True, False):
    with case(f"predictions-{asynchronous}") as epochs:
        error = error_of(BadPredictions(ROWS, asynchronous=asynchronous), epochs)
        assert isinstance(error, disteval.ReplicaError), error
        assert "no predictions" in str(error)
        # At once, or at the next epoch's end if it was not known before.
        assert epochs.count in ((1, 2, 3) if asynchronous else (1,)), epochs.count

with case("model") as epochs:
    error = error_of(UsesModel(ROWS), epochs)
    assert "self.model" in str(error)
    assert "asynchronous=False" in str(error)

with case("model-synchronous", delay=0.1) as epochs:
    train(UsesModel(ROWS, asynchronous=False), epochs, IsCommitted())
    assert epochs.count == EPOCHS

wandb.Table.MAX_ARTIFACT_ROWS, limit = ROWS - 1, wandb.Table.MAX_ARTIFACT_ROWS
with case("rows") as epochs:
    error = error_of(Eval(ROWS), epochs)
    assert isinstance(error, disteval.DataError), error
    assert "num_samples" in str(error)
    assert "partitions=2" in str(error)
    assert epochs.count == 0
    train(Eval(ROWS, num_samples=ROWS - 1), epochs)
    assert epochs.count == EPOCHS
wandb.Table.MAX_ARTIFACT_ROWS = limit

with case("refused-warn", **REFUSED) as epochs:
    train(Eval(ROWS), epochs)
    assert epochs.count == EPOCHS
    if chief:
        assert "W&B could not log val (" in warnings.getvalue(), warnings.getvalue()
        assert "python -m disteval upload" in warnings.getvalue()

with case("refused-raise", **REFUSED) as epochs:
    error = error_of(Eval(ROWS, on_log_error="raise"), epochs)
    assert type(error) is disteval.DistEvalError, error
    assert "W&B could not log a table" in str(error)
    assert "injected failure" in str(error)
print("all cases")
