"""Trains like train.py while ranks come and go; started by `launch/horovod.sh --min-np ...`.

Horovod's elastic state and callbacks do not support Keras 3, so this script has its own state and
training loop. When a rank is lost, the others continue after the last epoch that all had finished.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import horovod.tensorflow as hvd
import tensorflow as tf
import wandb
from horovod.common.elastic import ObjectState
from train import (
    DigitsEval,
    build_model,
    choose_devices,
    load_data,
    shard,
    start_wandb,
    tf_variables,
    use_gpu,
)
from wandb_key import read_wandb_key

keras = tf.keras


class ModelState(ObjectState):
    """The state that all ranks share: the model, the optimizer, and the training progress."""

    def __init__(self, model: tf.keras.Model, **counters: Any) -> None:
        self._variables = tf_variables([*model.variables, *model.optimizer.variables])
        self._save_variables()
        super().__init__(bcast_object=hvd.broadcast_object, get_rank=hvd.rank, **counters)

    def save(self) -> None:
        self._save_variables()
        super().save()

    def restore(self) -> None:
        for variable, value in zip(self._variables, self._saved_values, strict=True):
            variable.assign(value)
        super().restore()

    def sync(self) -> None:
        hvd.broadcast_variables(self._variables, root_rank=0)
        self._save_variables()
        super().sync()

    def _save_variables(self) -> None:
        self._saved_values = [variable.numpy() for variable in self._variables]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", choices=["digits", "fashion_mnist"], default="digits")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=32, help="per replica")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--samples", type=int, help="how many to evaluate (default: all)")
    parser.add_argument("--cpu", action="store_true", help="use no GPUs")
    return parser.parse_args()


def main(more_callbacks: Sequence[Any] = ()) -> None:
    args = parse_arguments()
    choose_devices(args.cpu)
    hvd.init()
    use_gpu(hvd.local_rank())
    keras.utils.set_random_seed(1)
    # Unlike train.py, this must not wait for other ranks: they may be training already.
    data, validation = load_data(args.dataset, "single")
    model = build_model(data[0].shape[1:], "horovod", args.learning_rate)
    model.optimizer.build(model.trainable_variables)
    if hvd.rank() == 0:
        start_wandb(args)
    evaluation = DigitsEval(
        data_table_columns=["index", "image", "label"],
        pred_table_columns=["epoch", "index", "image", "label", "predicted", "confidence"],
        validation_data=validation,
        batch_size=args.batch_size,
        num_samples=args.samples,
        backend="horovod",
        # An epoch ends only when its table is uploaded, so that no table is lost with the chief.
        asynchronous=False,
    )
    callbacks = keras.callbacks.CallbackList([evaluation, *more_callbacks], model=model)

    @hvd.elastic.run
    def train(state: ModelState) -> None:
        # Runs again after each loss, with other ranks, other shards and perhaps another chief.
        x, y = shard(data, hvd.rank(), hvd.size())
        if hvd.rank() == 0:
            read_wandb_key()  # a new chief continues the run
        model.train_function = None  # the compiled step contains the old number of ranks
        callbacks.on_train_begin()
        while state.epoch < args.epochs:
            callbacks.on_epoch_begin(state.epoch)
            for i, start in enumerate(range(0, len(x), args.batch_size)):
                stop = start + args.batch_size
                logs = model.train_on_batch(x[start:stop], y[start:stop], return_dict=True)
                callbacks.on_train_batch_end(i, logs)
            callbacks.on_epoch_end(state.epoch, logs)
            model.reset_metrics()
            state.epoch += 1
            state.commit()
        callbacks.on_train_end()

    train(ModelState(model, epoch=0))
    if hvd.rank() == 0:
        accuracy, samples = evaluation.metrics["accuracy"], len(evaluation.predictions["class"])
        wandb.finish()
        print(f"Validation accuracy: {accuracy:.3f} of {samples} samples")


if __name__ == "__main__":
    main()
