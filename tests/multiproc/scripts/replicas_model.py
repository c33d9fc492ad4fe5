"""A model whose BatchNormalization learns other statistics on each replica, and its data."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

import replicas

keras = tf.keras
random = np.random.default_rng(0)
VALIDATION = random.normal(size=(37, 3)).astype(np.float32)
BATCH_SIZE = 8


def data_of(replica: int) -> np.ndarray:
    """Returns what a replica is trained on: each another distribution."""
    numbers = np.random.default_rng(1 + replica).normal(size=(4 * BATCH_SIZE, 3))
    return (numbers * (1 + 3 * replica) + 5 * replica).astype(np.float32)


def tensors(variables: list[object]) -> list[tf.Variable]:
    """Returns the variables of TensorFlow inside those of Keras 3."""
    return [v if isinstance(v, tf.Variable) else v.value for v in variables]


@keras.utils.register_keras_serializable()
class Averaged(keras.Model):
    """Under Horovod, averages the gradients, in a way that works with Keras 3 and Keras 2."""

    def train_step(self, data):
        x, y = data
        tape = tf.GradientTape()
        if replicas.BACKEND == "horovod":
            import horovod.tensorflow as hvd

            tape = hvd.DistributedGradientTape(tape)
        with tape:
            loss = tf.reduce_mean((self(x, training=True) - y) ** 2)
        gradients = tape.gradient(loss, tensors(self.trainable_variables))
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return {"loss": loss}


def build() -> Averaged:
    """Returns the compiled model, with the same weights on every rank."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3,))
    hidden = keras.layers.BatchNormalization(momentum=0.5)(keras.layers.Dense(8)(inputs))
    outputs = keras.layers.Dense(2)(keras.layers.Activation("relu")(hidden))
    model = Averaged(inputs, outputs)
    model.compile(keras.optimizers.SGD(0.01), jit_compile=False)
    return model
