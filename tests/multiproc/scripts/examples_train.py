"""The two examples that are published for `WandbEvalCallback`, with the base class changed.

Told in other words, and one after the other, each with a run of its own.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import wandb

import disteval
import replicas
from tasks_data import DIGITS, LABELS

keras = tf.keras
EPOCHS, SHOWN, TRAINED = 2, 20, 64


class LoaderEval(disteval.DistEvalCallback):
    """Takes a batched loader with one-hot labels, and calls the model image by image."""

    def __init__(self, loader, data_table_columns, pred_table_columns, num_samples=100):
        super().__init__(data_table_columns, pred_table_columns)
        self.samples_shown = loader.unbatch().take(num_samples)

    def add_ground_truth(self, logs=None):
        for idx, (image, label) in enumerate(self.samples_shown):
            self.data_table.add_data(idx, wandb.Image(image), tf.argmax(label, axis=-1))

    def add_model_predictions(self, epoch, logs=None):
        predicted = self._inference()
        for idx in self.data_table_ref.get_index():
            row = self.data_table_ref.data[idx]
            self.pred_table.add_data(epoch, row[0], row[1], row[2], predicted[idx])

    def _inference(self):
        predicted = []
        for image, _ in self.samples_shown:
            outputs = self.model(tf.expand_dims(image, axis=0))
            predicted.append(tf.argmax(outputs, axis=-1)[0])
        return predicted


class ArraysEval(disteval.DistEvalCallback):
    """Takes arrays, and lets the model predict them all."""

    def __init__(self, validation_data, data_table_columns, pred_table_columns):
        super().__init__(data_table_columns, pred_table_columns)
        self.x, self.y = validation_data

    def add_ground_truth(self, logs=None):
        for idx, (image, label) in enumerate(zip(self.x, self.y, strict=True)):
            self.data_table.add_data(idx, wandb.Image(image), label)

    def add_model_predictions(self, epoch, logs=None):
        predicted = tf.argmax(self.model.predict(self.x, verbose=0), axis=-1)
        for idx in self.data_table_ref.get_index():
            row = self.data_table_ref.data[idx]
            self.pred_table.add_data(epoch, row[0], row[1], row[2], predicted[idx])


def build(loss):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        layers = [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)]
        model = keras.Sequential([*layers, keras.layers.Softmax()])
        # The learning rate is 0, so that every way of running logs the same predictions.
        model.compile(keras.optimizers.SGD(0.0), loss)
    return model


if __name__ == "__main__":
    strategy = replicas.start()
    chief = disteval.get_backend(replicas.BACKEND).is_chief
    x = (DIGITS * 255).astype(np.uint8)
    columns = ["idx", "image", "ground_truth"], ["epoch", "idx", "image", "ground_truth",
                                                 "prediction"]  # fmt: skip
    launch = f"{replicas.BACKEND}-{replicas.REPLICAS}"
    for name in ("loader", "arrays"):
        if chief:
            wandb.init(project="tables", id=f"{name}-{launch}")
        if name == "loader":
            one_hot = keras.utils.to_categorical(LABELS, 10)
            loader = tf.data.Dataset.from_tensor_slices((x, one_hot)).batch(16)
            callback = LoaderEval(loader, *columns, num_samples=SHOWN)
            model, y = build("categorical_crossentropy"), one_hot
        else:
            callback = ArraysEval((x[:SHOWN], LABELS[:SHOWN]), *columns)
            model, y = build("sparse_categorical_crossentropy"), LABELS
        model.fit(
            x[:TRAINED], y[:TRAINED], epochs=EPOCHS, batch_size=32, verbose=0, callbacks=[callback]
        )
        if chief:
            predicted = np.argmax(model.predict(x[:SHOWN], verbose=0), axis=-1)
            print(f"{name} {predicted.tolist()}")
            wandb.finish()
        else:
            assert wandb.run is None
