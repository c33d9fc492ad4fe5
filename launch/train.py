"""Trains a small convolutional network and logs its predictions as W&B tables.

One script for every way of running: on one device, under MirroredStrategy, under horovodrun, and as
workers of TF_CONFIG. Keras 3 cannot `fit` as such workers, so `launch/multiworker.sh` uses Keras 2.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import wandb
from wandb.integration.keras import WandbMetricsLogger
from wandb_key import read_wandb_key

import disteval
from disteval.doctor.gpus import expected_gpus

keras = tf.keras
Examples = tuple[np.ndarray, np.ndarray]  # images and labels


class DigitsEval(disteval.DistEvalCallback):
    """Logs the validation images with their labels, and the model's predictions for them."""

    def postprocess(self, outputs: Any, batch: Any) -> Any:
        confidence = tf.reduce_max(tf.nn.softmax(outputs), axis=-1)
        return {"class": tf.argmax(outputs, axis=-1), "confidence": confidence}

    def add_ground_truth(self, logs: dict[str, float] | None = None) -> None:
        for index, (image, label) in enumerate(self.samples()):
            self.data_table.add_data(index, wandb.Image(image), label)

    def add_model_predictions(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        columns = self.predictions["class"], self.predictions["confidence"]
        for index, (predicted, confidence) in enumerate(zip(*columns, strict=True)):
            truth = self.data_table_ref[index]
            self.pred_table.add_data(epoch, truth[0], truth[1], truth[2], predicted, confidence)


class HorovodModel(tf.keras.Model):
    """Averages gradients over the ranks; under Keras 3, `hvd.DistributedOptimizer` does not."""

    def train_step(self, data: Any) -> dict[str, Any]:
        import horovod.tensorflow as hvd

        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        with hvd.DistributedGradientTape(tf.GradientTape()) as tape:
            outputs = self(x, training=True)
            loss = self.compute_loss(x=x, y=y, y_pred=outputs)
        gradients = tape.gradient(loss, tf_variables(self.trainable_variables))
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
        return self.compute_metrics(x, y, outputs, None)


def tf_variables(variables: list[Any]) -> list[tf.Variable]:
    """Returns the tf.Variable of each Keras 3 variable; Keras 2 variables are tf.Variables."""
    return [v if isinstance(v, tf.Variable) else v.value for v in variables]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", choices=["digits", "fashion_mnist"], default="digits")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=32, help="per replica")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--samples", type=int, help="how many to evaluate (default: all)")
    parser.add_argument(
        "--backend",
        choices=["auto", "single", "mirrored", "horovod", "multiworker"],
        default="auto",
        help="auto: horovod under horovodrun, multiworker with TF_CONFIG, mirrored with several "
        "replicas, else single",
    )
    parser.add_argument(
        "--replicas",
        type=int,
        help="for --backend mirrored (default: all GPUs, or 2 logical CPU devices without GPUs)",
    )
    parser.add_argument("--cpu", action="store_true", help="use no GPUs")
    args = parser.parse_args()
    choose_devices(args.cpu)
    if args.backend == "auto":
        args.backend = choose_backend(args.replicas)
    if args.replicas and args.backend != "mirrored":
        parser.error("--replicas is for --backend mirrored")
    return args


def choose_devices(cpu: bool) -> None:
    """Hides the GPUs for `--cpu`, and makes sure that TensorFlow sees them all without it."""
    if cpu:
        tf.config.set_visible_devices([], "GPU")
        return
    seen, expected = len(tf.config.list_physical_devices("GPU")), expected_gpus()
    if seen < expected:
        sys.exit(
            f"This machine has {expected} GPUs, and TensorFlow sees {seen}. Install TensorFlow "
            "with CUDA: bash launch/setup.sh, or pip install 'tensorflow[and-cuda]'. To train on "
            "the CPU: --cpu, or CUDA_VISIBLE_DEVICES=-1."
        )


def visible_gpus() -> list[tf.config.PhysicalDevice]:
    return tf.config.get_visible_devices("GPU")


def choose_backend(replicas: int | None) -> str:
    if "HOROVOD_RANK" in os.environ:
        return "horovod"
    if "TF_CONFIG" in os.environ:
        return "multiworker"
    several = (replicas or len(visible_gpus())) > 1
    return "mirrored" if several else "single"


def start_horovod() -> tuple[int, int]:
    """Starts Horovod with one GPU for each rank, and returns rank and size."""
    import horovod.tensorflow as hvd

    hvd.init()
    use_gpu(hvd.local_rank())
    return hvd.rank(), hvd.size()


def use_gpu(number: int) -> None:
    """Makes one GPU visible, so that the other ranks on this machine can use the others."""
    if gpus := visible_gpus():
        tf.config.set_visible_devices(gpus[number % len(gpus)], "GPU")  # Slurm may show only one


def mirrored_strategy(replicas: int | None) -> tf.distribute.Strategy:
    """Returns a strategy with replicas on the first GPUs; without GPUs, on logical CPU devices."""
    gpus = visible_gpus()
    replicas = replicas or len(gpus) or 2
    if gpus and replicas > len(gpus):
        sys.exit(f"--replicas {replicas}, but this machine has {len(gpus)} GPUs")
    if not gpus:
        # Must come before any operation, which fixes TensorFlow's list of devices.
        cpu = tf.config.list_physical_devices("CPU")[0]
        logical = [tf.config.LogicalDeviceConfiguration()] * replicas
        tf.config.set_logical_device_configuration(cpu, logical)
    devices = tf.config.list_logical_devices("GPU" if gpus else "CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices[:replicas]])


def load_digits() -> tuple[Examples, Examples]:
    """Returns 1,797 real handwritten digits of 8x8 pixels; a fixed fifth is for validation."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = np.round(data.images[..., np.newaxis] * (255 / 16)).astype(np.uint8)
    order = np.random.default_rng(0).permutation(len(images))
    train, validation = np.split(order, [len(order) * 4 // 5])
    return (images[train], data.target[train]), (images[validation], data.target[validation])


def load_fashion_mnist() -> tuple[Examples, Examples]:
    """Returns 60,000 and 10,000 images of clothes of 28x28 pixels."""
    try:
        import tensorflow_datasets as tfds
    except ImportError:
        sys.exit("--dataset fashion_mnist needs: pip install tensorflow-datasets")
    try:
        train, validation = tfds.as_numpy(
            tfds.load("fashion_mnist", split=["train", "test"], batch_size=-1, as_supervised=True)
        )
    except Exception as error:
        sys.exit(f"fashion_mnist cannot be loaded (a download, the first time): {error!r}")
    return train, validation


def load_data(dataset: str, backend: str) -> tuple[Examples, Examples]:
    load = {"digits": load_digits, "fashion_mnist": load_fashion_mnist}[dataset]
    if backend != "horovod":
        return load()
    import horovod.tensorflow as hvd

    # One rank per machine downloads; the others wait for it in the allreduce and read its files.
    if hvd.local_rank() == 0:
        load()
    hvd.allreduce(tf.zeros(()))
    return load()


def shard(data: Examples, rank: int, size: int) -> Examples:
    """Returns the training examples of one rank.

    All ranks get equally many: a rank with more steps would wait forever for the others.
    """
    x, y = data
    length = len(x) // size
    return x[rank::size][:length], y[rank::size][:length]


def build_model(shape: tuple[int, ...], backend: str, learning_rate: float) -> tf.keras.Model:
    inputs = keras.Input(shape)
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(16, 3, padding="same", activation="relu")(x)
    x = keras.layers.Conv2D(32, 3, padding="same", activation="relu")(x)
    x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(64, activation="relu")(x)
    outputs = keras.layers.Dense(10)(x)
    model = (HorovodModel if backend == "horovod" else keras.Model)(inputs, outputs)
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,  # XLA cannot compile Horovod's operations
    )
    return model


def broadcast_weights(model: tf.keras.Model) -> None:
    """Copies the initial weights of rank 0 to all ranks."""
    import horovod.tensorflow as hvd

    model.optimizer.build(model.trainable_variables)
    hvd.broadcast_variables(tf_variables(model.variables), root_rank=0)


def start_wandb(args: argparse.Namespace) -> Any:
    read_wandb_key()
    return wandb.init(project="disteval-demo", config=vars(args))


def main() -> None:
    args = parse_arguments()
    rank, size = start_horovod() if args.backend == "horovod" else (0, 1)
    strategy = tf.distribute.get_strategy()
    if args.backend == "mirrored":
        strategy = mirrored_strategy(args.replicas)
    if args.backend == "multiworker":
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    keras.utils.set_random_seed(1)

    train, validation = load_data(args.dataset, args.backend)
    x, y = shard(train, rank, size)
    with strategy.scope():
        model = build_model(x.shape[1:], args.backend, args.learning_rate)
    if args.backend == "horovod":
        broadcast_weights(model)

    is_chief = disteval.get_backend(args.backend).is_chief
    run = start_wandb(args) if is_chief else None
    evaluation = DigitsEval(
        data_table_columns=["index", "image", "label"],
        pred_table_columns=["epoch", "index", "image", "label", "predicted", "confidence"],
        validation_data=validation,
        batch_size=args.batch_size,
        num_samples=args.samples,
        backend=args.backend,
    )
    # First of all callbacks, so that the ones after it find val_loss in their logs, on every rank.
    callbacks = [evaluation, keras.callbacks.EarlyStopping(monitor="val_loss", patience=3)]
    history = model.fit(
        x,
        y,
        # Keras splits a batch among the replicas of the strategy.
        batch_size=args.batch_size * strategy.num_replicas_in_sync,
        epochs=args.epochs,
        callbacks=[*callbacks, *([WandbMetricsLogger()] if is_chief else [])],
        verbose=2 if is_chief else 0,
    )
    if run is not None:
        accuracy, samples = (
            history.history["val_accuracy"][-1],
            len(evaluation.predictions["class"]),
        )
        run.finish()
        print(f"Validation accuracy: {accuracy:.3f} of {samples} samples")
        if not run.disabled:
            print(f"W&B run: {Path(run.dir).parent}")


if __name__ == "__main__":
    main()
