"""Trains a model with BatchNormalization, and saves it and the predictions of each epoch.

What each replica keeps for itself is the same after an evaluation as before, bit for bit.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
import wandb

import disteval
import replicas
from replicas_model import BATCH_SIZE, VALIDATION, build, data_of, keras, tensors

directory = Path(sys.argv[1])
strategy = replicas.start()
engine = disteval.get_backend(replicas.BACKEND)
with strategy.scope():
    model = build()


def statistics() -> list[np.ndarray]:
    """Returns the moving statistics of each local replica."""
    local = strategy.experimental_local_results
    copies = [copy for v in tensors(model.non_trainable_weights) for copy in local(v)]
    return [copy.numpy() for copy in copies]


class Eval(disteval.DistEvalCallback):
    """Compares what is there before an evaluation and after it."""

    def add_ground_truth(self, logs=None):
        pass

    def add_model_predictions(self, epoch, logs=None):
        pass

    def on_epoch_end(self, epoch, logs=None):
        before = statistics()
        super().on_epoch_end(epoch, logs)
        after = statistics()
        assert [a.tobytes() for a in before] == [a.tobytes() for a in after]
        if engine.is_chief:
            model.save(directory / f"{epoch}.keras")
            np.save(directory / f"logged-{epoch}.npy", self.predictions)


class ByReplica(tf.keras.callbacks.Callback):
    """Asserts that the statistics do differ between the replicas."""

    def on_train_end(self, logs=None):
        own = np.stack(statistics())
        if engine.name == "horovod":
            import horovod.tensorflow as hvd

            chiefs = hvd.broadcast(own, 0).numpy()
            assert engine.is_chief == np.array_equal(own, chiefs)
        else:
            mean_of_first, mean_of_second = own[:2]
            assert not np.array_equal(mean_of_first, mean_of_second)


if engine.name == "horovod":
    x = data_of(engine.rank)
else:
    # Keras gives the first half of each batch to the first replica, the second to the second.
    x = np.stack([data_of(r).reshape(-1, BATCH_SIZE, 3) for r in range(replicas.REPLICAS)], 1)
    x = x.reshape(-1, 3)
if engine.is_chief:
    wandb.init(mode="disabled")
callback = Eval(["x"], ["y"], validation_data=VALIDATION, batch_size=4, backend=replicas.BACKEND)
model.fit(
    x,
    x[:, :2],
    batch_size=BATCH_SIZE * strategy.num_replicas_in_sync,
    shuffle=False,
    epochs=2,
    verbose=0,
    callbacks=[callback, ByReplica()],
)
# What every replica for itself makes of the data.
np.save(directory / f"own-{engine.rank}.npy", model.predict(VALIDATION, batch_size=4, verbose=0))
print("model of", keras.Model.__module__)
