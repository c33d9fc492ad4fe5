"""A model of characters learns to reverse words, on all ranks, until most of them are right."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import wandb

import disteval
import replicas
from replicas_model import tensors

LETTERS, LENGTH, EPOCHS = "abcdefgh", 5, 40

strategy = replicas.start()
backend = disteval.get_backend(replicas.BACKEND)
keras = tf.keras
random = np.random.default_rng(0)


def encode(words: list[str]) -> np.ndarray:
    """Returns the letters of each word as numbers from 1, and 0 for padding."""
    rows = [[1 + LETTERS.index(letter) for letter in word] for word in words]
    return np.array([row + [0] * (LENGTH - len(row)) for row in rows], np.int32)


def decode(ids: np.ndarray) -> str:
    return "".join(LETTERS[i - 1] for i in ids if i)


@keras.utils.register_keras_serializable()
class Speller(keras.Model):
    """Averages the gradients of all ranks."""

    def train_step(self, data: Any) -> dict[str, Any]:
        x, y = data
        tape = tf.GradientTape()
        if replicas.BACKEND == "horovod":
            import horovod.tensorflow as hvd

            tape = hvd.DistributedGradientTape(tape)
        with tape:
            loss = self.compute_loss(x=x, y=y, y_pred=self(x, training=True))
        gradients = tape.gradient(loss, tensors(self.trainable_variables))
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return {"loss": loss}


class Reversal(disteval.TextEval):
    def infer(self, model: Any, batch: Any) -> tf.Tensor:
        return tf.argmax(model(batch[0], training=False), axis=-1)


class UntilMostAreRight(keras.callbacks.Callback):
    """Ends the training by a metric of the evaluator, which is equal on all ranks."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if logs["val_exact_match"] > 0.9:
            self.model.stop_training = True
            print(f"ended after {epoch + 1} epochs")


lengths = random.integers(2, LENGTH + 1, size=2400)
words = ["".join(random.choice(list(LETTERS), size=length)) for length in lengths]
x, y = encode(words), encode([word[::-1] for word in words])
keras.utils.set_random_seed(0)
with strategy.scope():
    inputs = keras.Input((LENGTH,), dtype="int32")
    hidden = keras.layers.Flatten()(keras.layers.Embedding(len(LETTERS) + 1, 16)(inputs))
    hidden = keras.layers.Dense(256, activation="relu")(hidden)
    logits = keras.layers.Dense(LENGTH * (len(LETTERS) + 1))(hidden)
    model = Speller(inputs, keras.layers.Reshape((LENGTH, -1))(logits))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss, jit_compile=False)

if backend.is_chief:
    wandb.init(project="tables", id="reversal")
evaluation = Reversal(
    (x[2000:], y[2000:]),
    decode,
    in_logs=("exact_match",),
    monitor="chrf",
    mode="max",
    num_rows=100,
    backend=replicas.BACKEND,
)
own = slice(backend.rank, 2000, backend.size)
model.fit(
    x[own], y[own], batch_size=32, epochs=EPOCHS, verbose=0,
    callbacks=[evaluation, UntilMostAreRight()],
)  # fmt: skip
if backend.is_chief:
    wandb.finish()
