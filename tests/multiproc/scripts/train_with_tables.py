"""Trains for some epochs, with the base class's callback or with this package's.

The learning rate is 0, so that every way of running logs the predictions of the same weights.
"""

from __future__ import annotations

import argparse

import numpy as np
import psutil
import tensorflow as tf
import wandb
from wandb.integration.keras import WandbEvalCallback

import disteval
import replicas

parser = argparse.ArgumentParser()
parser.add_argument("callback", choices=["base", "disteval"])
parser.add_argument("--epochs", type=int, default=2)
parser.add_argument("--run-id", required=True)
parser.add_argument("--sharded", action="store_true", help="data as elements and a pipeline")
args = parser.parse_args()

strategy = replicas.start()
chief = disteval.get_backend(replicas.BACKEND).is_chief
random = np.random.default_rng(0)
X = random.integers(0, 256, size=(23, 6, 6, 1)).astype(np.uint8)
Y = random.integers(0, 3, size=23)
DATA_COLUMNS = ["idx", "image", "label"]
PRED_COLUMNS = ["epoch", "idx", "image", "label", "class", "score"]

traces = []


def pipeline(elements):
    return elements.map(lambda x, y: (x, y), num_parallel_calls=4).batch(4)


class Hooks:
    """The hooks of a user, the same under both base classes but for where predictions are from."""

    def add_ground_truth(self, logs=None):
        for idx, (image, label) in enumerate(self.truth()):
            self.data_table.add_data(idx, wandb.Image(image), label)

    def add_model_predictions(self, epoch, logs=None):
        outputs = self.outputs()
        reference = self.data_table_ref
        for idx in reference.get_index():
            truth = [reference.data[idx][column] for column in range(3)]
            best = int(outputs[idx].argmax())
            self.pred_table.add_data(epoch, *truth, best, float(outputs[idx][best]))


class Base(Hooks, WandbEvalCallback):
    def __init__(self):
        super().__init__(DATA_COLUMNS, PRED_COLUMNS)

    def truth(self):
        return zip(X, Y, strict=True)

    def outputs(self):
        return self.model.predict(X, verbose=0)


class Dist(Hooks, disteval.DistEvalCallback):
    def __init__(self):
        super().__init__(
            DATA_COLUMNS,
            PRED_COLUMNS,
            validation_data=disteval.sharded((X, Y), pipeline) if args.sharded else (X, Y),
            batch_size=4,
            backend=replicas.BACKEND,
        )

    def truth(self):
        return self.samples()

    def outputs(self):
        return self.predictions

    def postprocess(self, outputs, batch):
        traces.append(batch)
        return outputs


def wandb_processes() -> list[str]:
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return [p.name() for p in family if "wandb" in p.name() or "gpu_stats" in p.name()]


if __name__ == "__main__":
    if chief:
        wandb.init(project="tables", id=args.run_id)
    tf.keras.utils.set_random_seed(0)
    with strategy.scope():
        model = tf.keras.Sequential(
            [
                tf.keras.Input((6, 6, 1)),
                tf.keras.layers.Rescaling(1 / 255),
                tf.keras.layers.Conv2D(4, 3, activation="relu"),
                tf.keras.layers.Flatten(),
                tf.keras.layers.Dense(3, activation="softmax"),
            ]
        )
        model.compile(tf.keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    callback = Base() if args.callback == "base" else Dist()
    model.fit(X, Y, epochs=args.epochs, batch_size=8, verbose=0, callbacks=[callback])
    if args.callback == "disteval":
        # One trace for each local replica, however many epochs there were.
        local_replicas = disteval.get_backend(model=model).local_replicas
        assert len(traces) == local_replicas, len(traces)
    if chief:
        assert bool(wandb_processes()) != wandb.run.disabled
        wandb.finish()
    else:
        assert wandb.run is None
        assert not wandb_processes(), wandb_processes()
    print("trained")
