"""A training loop of one's own, on all GPUs of this machine: python own_loop.py"""

import argparse

import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

import disteval

keras = tf.keras

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--epochs", type=int, default=20)
args = parser.parse_args()

digits = load_digits()
x, y = digits.images.astype("float32")[..., None] / 16, digits.target
train, validation = (x[:1500], y[:1500]), (x[1500:], y[1500:])

devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
strategy = tf.distribute.MirroredStrategy([device.name for device in devices])
with strategy.scope():
    hidden = [keras.layers.Conv2D(16, 3, activation="relu"), keras.layers.Flatten()]
    model = keras.Sequential([keras.Input((8, 8, 1)), *hidden, keras.layers.Dense(10, "softmax")])
    # `compile` names the metrics of `disteval.evaluate`; the loop below uses only the optimizer.
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.optimizer.build(model.trainable_variables)
    loss_of = keras.losses.SparseCategoricalCrossentropy(reduction="none")


@tf.function
def train_step(batch):
    def on_replica(batch):
        images, labels = batch
        with tf.GradientTape() as tape:
            losses = loss_of(labels, model(images, training=True))
            loss = tf.nn.compute_average_loss(losses)  # over the batches of all replicas
        gradients = tape.gradient(loss, model.trainable_variables)
        model.optimizer.apply(gradients, model.trainable_variables)
        return loss

    return strategy.reduce("sum", strategy.run(on_replica, args=(batch,)), axis=None)


batch_size = 32 * strategy.num_replicas_in_sync
batches = tf.data.Dataset.from_tensor_slices(train).shuffle(1500, seed=0).batch(batch_size)
batches = strategy.experimental_distribute_dataset(batches)
best = np.inf
for epoch in range(args.epochs):
    loss = np.mean([float(train_step(batch)) for batch in batches])
    metrics = disteval.evaluate(model, validation)  # on every replica, exact
    print(
        f"epoch {epoch}: loss {loss:.4f}, " + ", ".join(f"{k} {v:.4f}" for k, v in metrics.items())
    )
    if metrics["loss"] > best:
        break
    best = metrics["loss"]

probabilities = disteval.predict(model, validation)  # in the order of the data
wrong = np.flatnonzero(probabilities.argmax(axis=1) != validation[1])
print(f"{len(wrong)} of {len(probabilities)} are wrong, the first ones: {wrong[:10].tolist()}")
