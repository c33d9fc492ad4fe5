"""Scenarios: one rank raises, in the model, the input pipeline, or a hook."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator

import numpy as np
import psutil
import tensorflow as tf

from multiproc.faults.training import SAMPLES, Eval, Training, X, Y, keras


def model_raises_when_traced(training: Training) -> None:
    class Broken(keras.Sequential):
        def predict_step(self, data):
            if training.is_origin:
                training.fault()
                raise ValueError("a layer is missing")
            return super().predict_step(data)

    training.fit(model=training.model(Broken))


def model_raises_on_a_batch(training: Training) -> None:
    class Checked(keras.Sequential):
        def predict_step(self, data):
            tf.debugging.assert_less(data[0], 100.0, message="an input is too large")
            return super().predict_step(data)

    x = X.copy()
    x[-1] = 1000  # of the last shard
    model = training.model(Checked)
    training.fit((x, Y), model=model, before=[training.at("on_epoch_end", 0)])


def model_runs_out_of_memory(training: Training) -> None:
    size = tf.Variable(1, dtype=tf.int64)

    class Large(keras.Sequential):
        def predict_step(self, data):
            # In one batch only: TensorFlow tries for 10 s to get the memory before it gives up,
            # and operations of other batches that cannot get theirs may do so one after the other.
            count = tf.where(tf.reduce_max(data[0]) > 100, size, 1)
            return super().predict_step(data) + tf.random.uniform([count])[0]

    x = X.copy()
    x[-1] = 1000  # of the last shard
    grow = training.at("on_epoch_end", 1, lambda model: size.assign(1 << 50))
    training.fit((x, Y), model=training.model(Large), before=[grow])


def postprocess_raises_when_traced(training: Training) -> None:
    class Broken(Eval):
        def postprocess(self, outputs, batch):
            if training.is_origin:
                training.fault()
                raise KeyError("no such output")
            return outputs

    training.fit(callback=Broken)


def postprocess_raises_on_a_batch(training: Training) -> None:
    limit = tf.Variable(1e9)

    class Checked(Eval):
        def postprocess(self, outputs, batch):
            tf.debugging.assert_less(outputs, limit, message="a score is missing")
            return outputs

    lower = training.at("on_epoch_end", 1, lambda model: limit.assign(-1e9))
    training.fit(callback=Checked, before=[lower])


def outputs_differ(training: Training) -> None:
    class Several(Eval):
        def postprocess(self, outputs, batch):
            return [outputs, outputs] if training.is_last else outputs

    training.fit(callback=Several, before=[training.at("on_epoch_end", 0)])


def map_raises(training: Training) -> None:
    x = np.random.default_rng(0).normal(size=(102, 4)).astype(np.float32)
    x[101] = np.nan  # the last rank's; the check of the order has ended before it

    def decode(image: tf.Tensor) -> tf.Tensor:
        return tf.debugging.check_numerics(image, "a bad image")

    class WithoutImages(Eval):
        def add_ground_truth(self, logs=None):
            for i in range(len(x)):
                self.data_table.add_data(str(i), i)

    dataset = tf.data.Dataset.from_tensor_slices(x).map(decode)
    before = [training.at("on_epoch_end", 0)]
    training.fit(dataset, callback=WithoutImages, batch_size=1, before=before)


class Breaking:
    """Batches that can be read until the file is gone."""

    def __init__(self) -> None:
        self.broken = False

    def __call__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for i in range(0, SAMPLES, 4):
            if self.broken and i:
                raise FileNotFoundError("the file is gone")
            yield X[i : i + 4], Y[i : i + 4]

    def fail(self, model: object) -> None:
        self.broken = True


SIGNATURE = (tf.TensorSpec([None, 4]), tf.TensorSpec([None], tf.int64))


def generator_raises(training: Training) -> None:
    batches = Breaking()
    dataset = tf.data.Dataset.from_generator(batches, output_signature=SIGNATURE)
    training.fit(dataset, before=[training.at("on_epoch_end", 1, batches.fail)])


class FailingBatches(keras.utils.Sequence):
    """Batches of 4, whose last one fails if that is asked for."""

    def __init__(self, seconds: float = 0, count: int = SAMPLES // 4) -> None:
        super().__init__()
        self.fails = False
        self.seconds = seconds
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        if self.fails and i == self.count - 1:
            self.fail()
        if self.fails:
            time.sleep(self.seconds)
        return X[:4], Y[:4]

    def fail(self) -> None:
        open("no-such-file")  # noqa: SIM115

    def start(self, model: object) -> None:
        self.fails = True


def py_dataset_raises(training: Training) -> None:
    batches = FailingBatches()
    training.fit(batches, before=[training.at("on_epoch_end", 1, batches.start)])


def py_dataset_runs_out_of_memory(training: Training) -> None:
    class Large(FailingBatches):
        def fail(self):
            np.ones(1 << 50)

    batches = Large()
    training.fit(batches, before=[training.at("on_epoch_end", 1, batches.start)])


def function_raises(training: Training) -> None:
    is_down = []

    def shards(index: int, count: int) -> tf.data.Dataset:
        if is_down:
            raise ConnectionError("the store is down")
        numbers = np.arange(index, SAMPLES, count)
        return tf.data.Dataset.from_tensor_slices((numbers, (X[numbers], Y[numbers])))

    training.fit(shards, before=[training.at("on_epoch_end", 0, is_down.append)])


def fails_beside_a_slow_model(training: Training) -> None:
    batches = FailingBatches(count=200)
    slow = tf.Variable(0.0)

    def work(x: np.ndarray, seconds: np.ndarray) -> np.ndarray:
        time.sleep(float(seconds))
        return x

    class Slow(keras.Sequential):
        def predict_step(self, data):
            x = tf.ensure_shape(tf.numpy_function(work, [data[0], slow], tf.float32), [None, 4])
            return super().predict_step((x, data[1]))

    if training.is_origin:
        before = [training.at("on_epoch_end", 0, batches.start)]
        batches.seconds = 0.02
    else:
        before = [keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: slow.assign(0.25))]
    training.fit(batches, model=training.model(Slow), before=before)


def fails_beside_a_slow_pipeline(training: Training) -> None:
    batches = FailingBatches(0.02 if training.is_origin else 0.25, count=200)
    before = [
        training.at("on_epoch_end", 0, batches.start)
        if training.is_origin
        else keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: batches.start(None))
    ]
    training.fit(batches, before=before)


def chief_cannot_hold_the_predictions(training: Training) -> None:
    # Almost all rows are those of the last rank, so that only the place to put them is missing.
    def shards(index: int, count: int) -> tf.data.Dataset:
        numbers = np.arange(SAMPLES)
        own = numbers[:1] if index == 0 and count > 1 else numbers[1 if count > 1 else 0 :]
        return tf.data.Dataset.from_tensor_slices((own, (X[own], Y[own])))

    class Large(Eval):
        def postprocess(self, outputs, batch):
            return tf.repeat(outputs[:, :1], 4 << 20, axis=1)  # 16 MB for each sample

    def limit(model: object) -> None:
        used = psutil.Process().memory_info().vms
        resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20),) * 2)

    training.fit(shards, callback=Large, before=[training.at("on_epoch_end", 0, limit)])


def add_ground_truth_raises(training: Training) -> None:
    class Broken(Eval):
        def add_ground_truth(self, logs=None):
            training.fault()
            raise RuntimeError("no label for this image")

    training.fit(callback=Broken)


def _add_model_predictions_raises(training: Training, asynchronous: bool, epochs: int) -> None:
    class Broken(Eval):
        def add_model_predictions(self, epoch, logs=None):
            training.fault()
            raise RuntimeError("no name for this class")

    training.fit(callback=Broken, asynchronous=asynchronous, epochs=epochs)


def add_model_predictions_raises(training: Training) -> None:
    _add_model_predictions_raises(training, False, 2)


def add_model_predictions_raises_in_the_background(training: Training) -> None:
    _add_model_predictions_raises(training, True, 2)


def add_model_predictions_raises_at_last(training: Training) -> None:
    _add_model_predictions_raises(training, True, 1)


def no_run(training: Training) -> None:
    training.fault()  # the callback cannot even be made
    training.fit(has_run=False)


no_run_on_the_chief = no_run
