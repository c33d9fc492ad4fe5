"""Trains on FOLDER/train/CLASS/*.png and shows what the model predicts for FOLDER/val/CLASS/*.png.

python image_folder.py FOLDER                     one process, and all of its GPUs
horovodrun -np 4 python image_folder.py FOLDER    a process for each GPU
"""

import argparse
import os
from pathlib import Path

import tensorflow as tf
import wandb

import disteval

keras = tf.keras
if "HOROVOD_RANK" in os.environ:
    import horovod.tensorflow as hvd

    hvd.init()
    if gpus := tf.config.list_physical_devices("GPU"):
        tf.config.set_visible_devices(gpus[hvd.local_rank()], "GPU")
    rank, size, strategy = hvd.rank(), hvd.size(), tf.distribute.get_strategy()
else:
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    rank, size = 0, 1
    strategy = tf.distribute.MirroredStrategy([device.name for device in devices])


class Model(keras.Sequential):
    def train_step(self, data):
        if size == 1:
            return super().train_step(data)
        x, y = data  # under Keras 3, hvd.DistributedOptimizer would not average the gradients
        with hvd.DistributedGradientTape(tf.GradientTape()) as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        gradients = tape.gradient(loss, [v.value for v in self.trainable_variables])
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return {"loss": loss}


def files_and_labels(folder, names):
    files = sorted(map(str, folder.glob("*/*.png")))
    return files, [names.index(Path(file).parent.name) for file in files]


def decode(file, label):
    image = tf.io.decode_png(tf.io.read_file(file), channels=3)
    return tf.image.resize(image, (64, 64)) / 255, label


def decoded(dataset):
    return dataset.map(decode, tf.data.AUTOTUNE).batch(32).prefetch(tf.data.AUTOTUNE)


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("folder", type=Path)
parser.add_argument("--epochs", type=int, default=10)
args = parser.parse_args()
names = sorted(path.name for path in (args.folder / "train").iterdir())
train = tf.data.Dataset.from_tensor_slices(files_and_labels(args.folder / "train", names))
train = train.take(len(train) // size * size).shard(size, rank)  # as many steps on every rank
validation = disteval.sharded(files_and_labels(args.folder / "val", names), decoded)

keras.utils.set_random_seed(0)  # the same weights on every rank
with strategy.scope():
    layers = [keras.layers.Conv2D(16, 3, activation="relu"), keras.layers.GlobalMaxPooling2D()]
    model = Model([keras.Input((64, 64, 3)), *layers, keras.layers.Dense(len(names), "softmax")])
    model.compile(
        "adam", "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False
    )
if rank == 0:
    wandb.init(project="image-folder")
evaluate = disteval.ClassificationEval(
    validation, names, rows="worst", num_rows=500, monitor="val_loss"
)
stop = keras.callbacks.EarlyStopping("val_loss", patience=3)  # decides alike on every rank
train = decoded(train.shuffle(len(train)))
model.fit(train, epochs=args.epochs, callbacks=[evaluate, stop], verbose=2 if rank == 0 else 0)
