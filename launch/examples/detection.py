"""Trains a detector of one square in each image: horovodrun -np 2 python detection.py

The pictures are drawn by the pipeline, in place of those that yours would decode.
"""

import argparse

import horovod.tensorflow as hvd
import tensorflow as tf
import wandb

import disteval

keras = tf.keras
SIDE = 32  # of a picture, in pixels

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--samples", type=int, default=2048)
args = parser.parse_args()

hvd.init()
if gpus := tf.config.list_physical_devices("GPU"):
    tf.config.set_visible_devices(gpus[hvd.local_rank()], "GPU")


def draw(number):
    """Returns a picture of a square, and its box (left, top, right, bottom)."""
    place = tf.random.stateless_uniform([3], [number, 0], 4, 16, tf.int32)
    left, top, side = place[0], place[1], place[2]
    position = tf.range(SIDE)
    inside = [(position >= start) & (position < start + side) for start in (top, left)]
    picture = tf.cast(inside[0][:, None] & inside[1], tf.float32)[..., None]
    box = tf.cast([[left, top, left + side, top + side]], tf.float32)
    return picture, {"boxes": box, "classes": tf.zeros([1], tf.int64)}


def drawn(dataset):
    return dataset.map(draw, tf.data.AUTOTUNE).batch(32).prefetch(tf.data.AUTOTUNE)


class Detector(keras.Model):
    def __init__(self):
        super().__init__()
        hidden = [keras.layers.Flatten(), keras.layers.Dense(128, "relu")]
        self.network = keras.Sequential(
            [keras.Input((SIDE, SIDE, 1)), *hidden, keras.layers.Dense(4)]
        )

    def call(self, pictures, training=False):
        boxes = SIDE * self.network(pictures)[:, None]
        count = tf.shape(boxes)[0]
        return {"boxes": boxes, "classes": tf.zeros([count, 1]), "scores": tf.ones([count, 1])}

    def train_step(self, data):
        pictures, labels = data
        with hvd.DistributedGradientTape(tf.GradientTape()) as tape:
            error = (self(pictures, training=True)["boxes"] - labels["boxes"]) / SIDE
            loss = tf.reduce_mean(tf.square(error))
        gradients = tape.gradient(loss, [v.value for v in self.trainable_variables])
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return {"loss": loss}


train = drawn(tf.data.Dataset.range(hvd.rank(), args.samples, hvd.size()))
validation = disteval.sharded(tf.data.Dataset.range(args.samples, 2 * args.samples, 8), drawn)

keras.utils.set_random_seed(0)  # the same weights on every rank
model = Detector()
model.compile("adam", jit_compile=False)
if hvd.rank() == 0:
    wandb.init(project="squares")
# AP is computed before the epoch ends, so that it is in the logs of every rank.
evaluate = disteval.DetectionEval(validation, ["square"], in_logs=("ap",), num_rows=64)
best = keras.callbacks.EarlyStopping("val_ap", mode="max", patience=4)
model.fit(
    train, epochs=args.epochs, callbacks=[evaluate, best], verbose=2 if hvd.rank() == 0 else 0
)
