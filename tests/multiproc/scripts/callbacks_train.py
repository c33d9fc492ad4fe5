"""Ways of training with which the callback has to work; each logs what the final model predicts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import wandb

import disteval
import replicas

strategy = replicas.start()
engine = disteval.get_backend(replicas.BACKEND)
keras = tf.keras
X = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
Y = np.arange(20) % 3
BATCH_SIZE = 4 * strategy.num_replicas_in_sync


class Eval(disteval.DistEvalCallback):
    """Counts what is logged."""

    def __init__(self, **arguments: Any) -> None:
        arguments = {"validation_data": (X, Y), "backend": replicas.BACKEND} | arguments
        arguments |= {"batch_size": 3, "on_log_error": "raise"}
        super().__init__(["label"], ["epoch", "label", "output"], **arguments)
        self.epochs = []

    def add_ground_truth(self, logs=None):
        for _, label in self.samples():
            self.data_table.add_data(label)

    def add_model_predictions(self, epoch, logs=None):
        self.epochs.append(epoch)
        rows = tf.nest.flatten(self.predictions)[0]
        assert len(rows) == len(self.data_table_ref.get_index())
        for row, index in zip(rows, self.data_table_ref.get_index(), strict=True):
            self.pred_table.add_data(epoch, self.data_table_ref[index][0], str(row))


def dense(kind: type = keras.Sequential, **arguments: Any) -> Any:
    """Returns a model with the same weights on every rank."""
    keras.utils.set_random_seed(0)
    with strategy.scope():
        return kind([keras.Input((4,)), keras.layers.Dense(3, **arguments)])


def fit(model: Any, callbacks: list[Any], data: Any = None, **arguments: Any) -> None:
    """Trains for two epochs; with the same data on every rank, so that the ranks agree."""
    inputs = {"x": data} if data is not None else {"x": X, "y": Y, "batch_size": BATCH_SIZE}
    options = {"epochs": 2, "verbose": 0, "shuffle": False} | inputs | arguments
    model.fit(callbacks=callbacks, **options)


def compiled(model: Any, **options: Any) -> Any:
    """Compiles a model, and returns it."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with model.distribute_strategy.scope():
        options = {"loss": loss, "jit_compile": False} | options
        model.compile(keras.optimizers.SGD(0.1), **options)
    return model


def check(
    callback: Eval, wanted: Any, numbers: tuple[int, ...] = (0, 1), atol: float = 1e-6
) -> None:
    """On the chief, each epoch was logged, the last one as wanted; nothing elsewhere."""
    if not engine.is_chief:
        assert callback.predictions is None
        assert not callback.epochs
        return
    assert tuple(callback.epochs) == numbers, callback.epochs
    tf.nest.assert_same_structure(callback.predictions, wanted)
    pairs = zip(tf.nest.flatten(callback.predictions), tf.nest.flatten(wanted), strict=True)
    for got, want in pairs:
        np.testing.assert_allclose(got, np.asarray(want), rtol=0, atol=atol)


def run_eagerly() -> None:
    model, callback = compiled(dense(), run_eagerly=True), Eval()
    fit(model, [callback])
    check(callback, model(X))


def jit_compile() -> None:
    model, callback = compiled(dense(), jit_compile=True), Eval()
    if replicas.BACKEND == "mirrored":
        # TensorFlow cannot compile a training over logical CPU devices, so that only an
        # evaluation is left to be tried.
        predictions = disteval.predict(model, X)
        np.testing.assert_allclose(predictions, model(X), rtol=0, atol=1e-6)
        return
    fit(model, [callback])
    check(callback, model(X))


def mixed_precision() -> None:
    model, callback = compiled(dense(dtype="mixed_float16")), Eval()
    fit(model, [callback])
    assert not engine.is_chief or callback.predictions.dtype == np.float16
    # Where the processor computes in float16, the last bit depends on the size of the batch.
    check(callback, model(X), atol=4 * np.finfo(np.float16).eps)


def custom_predict_step() -> None:
    class Named(keras.Sequential):
        def predict_step(self, data):
            scores = super().predict_step(data)
            return {"scores": scores, "class": tf.argmax(scores, axis=-1)}

    model, callback = compiled(dense(Named)), Eval()
    fit(model, [callback])
    scores = model(X)
    check(callback, {"scores": scores, "class": tf.argmax(scores, axis=-1)})


def subclassed() -> None:
    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = keras.layers.Dense(5, activation="relu")
            self.outer = keras.layers.Dense(3)

        def call(self, inputs, training=False):
            return self.outer(self.inner(inputs))

    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = Subclassed()
    callback = Eval()
    fit(compiled(model), [callback])
    check(callback, model(X))


def several_outputs() -> None:
    keras.utils.set_random_seed(0)
    with strategy.scope():
        inputs = keras.Input((4,))
        scores = keras.layers.Dense(3, name="a")(inputs)
        model = keras.Model(inputs, {"a": scores, "b": keras.layers.Dense(1, name="b")(inputs)})
    data = tf.data.Dataset.from_tensor_slices((X, {"a": Y, "b": X[:, :1]})).batch(BATCH_SIZE)
    loss = {"a": keras.losses.SparseCategoricalCrossentropy(from_logits=True), "b": "mse"}
    callback = Eval()
    fit(compiled(model, loss=loss), [callback], data)
    check(callback, model(X))


def initial_epoch() -> None:
    model, callback = compiled(dense()), Eval()
    fit(model, [callback], initial_epoch=3, epochs=5)
    check(callback, model(X), (3, 4))


def steps_per_epoch() -> None:
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(BATCH_SIZE).repeat()
    model, callback = compiled(dense()), Eval(log_freq=3)
    fit(model, [callback], data, steps_per_epoch=4, epochs=3)
    check(callback, model(X), (0, 1, 2, 2))  # after steps 3, 6, 9 and 12, which is the last


def steps_per_execution() -> None:
    if replicas.BACKEND == "mirrored":
        return  # Keras 3's own `fit` fails with it under MirroredStrategy
    model, callback = compiled(dense(), steps_per_execution=2), Eval()
    fit(model, [callback])
    check(callback, model(X))


def model_built_outside_the_scope() -> None:
    keras.utils.set_random_seed(0)
    model = compiled(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]))
    if replicas.BACKEND == "mirrored":
        with pytest.raises(disteval.DistEvalError, match=r"built in `with strategy.scope\(\):`"):
            fit(model, [Eval()])
    callback = Eval(backend="auto")
    fit(model, [callback])
    check(callback, model(X))


def two_callbacks() -> None:
    model = compiled(dense())
    first, second = Eval(), Eval(num_samples=7, name="few", asynchronous=False, log_freq=1)
    fit(model, [first, second], epochs=1)
    check(first, model(X), (0,))
    steps = -(-len(X) // BATCH_SIZE)
    check(second, model(X)[:7], (0,) * steps)


def fit_inside_a_thread() -> None:
    model, callback = compiled(dense()), Eval()
    failures = []

    def work() -> None:
        try:
            fit(model, [callback])
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not failures, failures
    check(callback, model(X))


def stop_training_on_all_ranks() -> None:
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    model, callback = compiled(dense()), Eval()
    fit(model, [callback, Stop()], epochs=5)
    check(callback, model(X))


def early_stopping_with_the_same_metrics() -> None:
    stop = keras.callbacks.EarlyStopping("loss", patience=0, min_delta=1e9)
    model, callback = compiled(dense()), Eval()
    fit(model, [callback, stop], epochs=5)
    check(callback, model(X))


def single_backend_of_a_distributed_model() -> None:
    if replicas.BACKEND == "horovod":
        return  # every rank would be a chief
    model, callback = compiled(dense()), Eval(backend="single")
    fit(model, [callback])
    check(callback, model(X))


def the_device_of_the_model() -> None:
    if replicas.BACKEND != "mirrored":
        return  # there is one device only
    devices = []

    class Placed(keras.Sequential):
        def predict_step(self, data):
            outputs = super().predict_step(data)
            devices.append(outputs.device)
            return outputs

    keras.utils.set_random_seed(0)
    with tf.distribute.OneDeviceStrategy("CPU:1").scope():
        model = Placed([keras.Input((4,)), keras.layers.Dense(3)])
    callback = Eval(backend="auto")
    fit(compiled(model, run_eagerly=True), [callback])
    check(callback, model(X))
    assert {device[-5:] for device in devices} == {"CPU:1"}, devices


def unbuilt() -> None:
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = keras.Sequential([keras.layers.Dense(3)])
    predictions = disteval.predict(model, (X, Y), backend=replicas.BACKEND)
    if engine.is_chief:
        np.testing.assert_allclose(predictions, model(X), rtol=0, atol=1e-6)


def control_flow() -> None:
    class Branching(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = keras.layers.Dense(3)

        def call(self, inputs, training=False):
            hidden = self.inner(inputs)
            if tf.reduce_mean(hidden) > -1e9:
                hidden = hidden * 2.0
            return hidden

    if not keras.Model.__module__.startswith("tf_keras."):
        return  # Keras 3 does not convert it
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = Branching()
    callback = Eval()
    fit(compiled(model), [callback])
    check(callback, model(X))


def another_callback_on_a_rank_that_joins() -> None:
    model, first = compiled(dense()), Eval(log_freq=3)
    fit(model, [first], epochs=1)
    # As a rank that is new in an elastic job, it has counted no batches yet.
    second = first if engine.is_chief else Eval(log_freq=3)
    fit(model, [second], epochs=3)
    steps = -(-len(X) // BATCH_SIZE)
    due = [step for step in range(1, 4 * steps + 1) if step % 3 == 0]
    assert second._job.schedule.batches == 4 * steps
    if engine.is_chief:
        assert len(first.epochs) == len(due)


def a_loop_of_ones_own() -> None:
    model, callback = compiled(dense()), Eval()
    callback.set_model(model)
    with pytest.raises(disteval.DistEvalError, match="before training"):
        callback.on_epoch_end(0)
    callback.on_train_begin()
    for epoch in (4, 7):  # which nobody begins
        callback.on_epoch_end(epoch)
    callback.on_train_end()
    check(callback, model(X), (4, 7))


def two_fits() -> None:
    model, callback = compiled(dense()), Eval()
    fit(model, [callback], epochs=1)
    fit(model, [callback], epochs=1)
    check(callback, model(X), (0, 0))


CASES: list[Callable[[], None]] = [
    run_eagerly,
    jit_compile,
    mixed_precision,
    custom_predict_step,
    subclassed,
    several_outputs,
    initial_epoch,
    steps_per_epoch,
    steps_per_execution,
    model_built_outside_the_scope,
    two_callbacks,
    fit_inside_a_thread,
    stop_training_on_all_ranks,
    early_stopping_with_the_same_metrics,
    single_backend_of_a_distributed_model,
    the_device_of_the_model,
    unbuilt,
    control_flow,
    another_callback_on_a_rank_that_joins,
    a_loop_of_ones_own,
    two_fits,
]

if __name__ == "__main__":
    if engine.is_chief:
        wandb.init(mode="disabled")
    for case in CASES:
        case()
        print("passed", case.__name__, flush=True)
    print("model of", keras.Model.__module__)
