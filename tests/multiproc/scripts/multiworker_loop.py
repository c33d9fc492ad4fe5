"""A loop of one's own under MultiWorkerMirroredStrategy, as Keras 3 needs it, with the callback.

Arguments: how it ends (`well`, or a worker `raises`, is `killed` or `stopped`), which worker that
is, and a directory, in which each worker that got that far writes how it ended.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import wandb

import disteval
import replicas

END, VICTIM, DIRECTORY = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
EPOCHS = 2
# Only where a worker is silent does it end the wait.
TIMEOUT = 5 if END == "stopped" else 60

strategy = replicas.start()
backend = disteval.get_backend()
assert backend.name == "multiworker"
assert backend.size == replicas.REPLICAS
is_victim = backend.rank == VICTIM
keras = tf.keras
random = np.random.default_rng(0)
X = random.normal(size=(60, 4)).astype(np.float32)
Y = random.normal(size=(60, 3)).astype(np.float32)


class Eval(disteval.DistEvalCallback):
    """Logs two tables."""

    def postprocess(self, outputs, batch):
        if END == "raises" and is_victim:
            fail()
        return outputs

    def add_ground_truth(self, logs=None):
        for x, _ in self.samples():
            self.data_table.add_data(str(x))

    def add_model_predictions(self, epoch, logs=None):
        self.add_predictions(output=list(map(str, self.predictions)))


def fail() -> None:
    """Ends this worker in the way that was asked for, and says when."""
    (DIRECTORY / "fault").write_text(str(time.monotonic()))
    if END == "raises":
        raise ValueError("no more scores")
    os.kill(os.getpid(), signal.SIGKILL if END == "killed" else signal.SIGSTOP)


def wait_for_all() -> None:
    """Waits until no worker needs another any more to train; by files, which fail with nobody."""
    (DIRECTORY / f"trained-{backend.rank}").touch()
    while len(list(DIRECTORY.glob("trained-*"))) < backend.size:
        time.sleep(0.05)


def train(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> None:
    """One epoch, in which every replica sees data of its own."""

    def step(x: tf.Tensor, y: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(x, training=True) - y) ** 2)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4 * backend.size)
    run = tf.function(lambda x, y: strategy.run(step, args=(x, y)))
    for x, y in strategy.experimental_distribute_dataset(data):
        run(x, y)


keras.utils.set_random_seed(0)
with strategy.scope():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(8),
            keras.layers.BatchNormalization(momentum=0.5),
            keras.layers.Dense(3),
        ]
    )
    optimizer = keras.optimizers.SGD(0.05)
    model.compile(optimizer, "mse", metrics=["mae"])

if backend.is_chief:
    wandb.init(mode="disabled")
callback = Eval(["x"], ["epoch", "x", "output"], validation_data=(X, Y), timeout=TIMEOUT)
callback.set_model(model)
end = DIRECTORY / f"rank-{backend.rank}"
try:
    callback.on_train_begin()
    for epoch in range(EPOCHS):
        callback.on_epoch_begin(epoch)
        train(model, optimizer)
        if epoch == 1 and END in ("killed", "stopped"):
            wait_for_all()
            if is_victim:
                fail()
        logs: dict[str, float] = {}
        callback.on_epoch_end(epoch, logs)
        assert logs == {f"val_{name}": value for name, value in callback.metrics.items()}
    callback.on_train_end()
except disteval.DistEvalError as error:
    after = time.monotonic() - float((DIRECTORY / "fault").read_text())
    end.write_text(f"{after:.1f}\n{type(error).__name__}: {error}")
    raise

# As TensorFlow wants it, every worker saves, since state may have to be averaged over them.
path = DIRECTORY / f"model-{backend.rank}.keras"
model.save(path)
if backend.is_chief:
    saved = keras.models.load_model(path)
    expected = saved.predict_on_batch(X)
    np.testing.assert_allclose(callback.predictions, expected, rtol=0, atol=1e-5)
    metrics = saved.evaluate(X, Y, return_dict=True, verbose=0)
    assert callback.metrics == pytest.approx(metrics, abs=1e-6)
end.write_text("ended well")
