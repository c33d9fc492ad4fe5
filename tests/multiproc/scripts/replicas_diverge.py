"""What `sync_weights` does about weights and state that differ between two ranks."""

from __future__ import annotations

import horovod.tensorflow.keras as hvd
import numpy as np
import pytest
import tensorflow as tf
import wandb

import disteval
import replicas
from replicas_model import VALIDATION, build, data_of, keras, tensors

replicas.start()
rank = hvd.rank()
engine = disteval.get_backend("horovod")
x = data_of(rank)
epochs = []
# There, the optimizer of Horovod does average.
KERAS_2 = keras.Model.__module__.startswith("tf_keras.")


class Eval(disteval.DistEvalCallback):
    """Takes note of the epochs that end."""

    def __init__(self):
        super().__init__(["x"], ["y"], validation_data=VALIDATION, backend="horovod")

    def add_ground_truth(self, logs=None):
        pass

    def add_model_predictions(self, epoch, logs=None):
        pass

    def on_epoch_end(self, epoch, logs=None):
        epochs.append(epoch)
        super().on_epoch_end(epoch, logs)


def the_optimizer_of_horovod_is_found_out() -> None:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(2)])
    optimizer = hvd.DistributedOptimizer(keras.optimizers.SGD(0.01))
    model.compile(optimizer, "mse", jit_compile=False)
    with pytest.raises(disteval.ReplicaDivergenceError) as info:
        model.fit(x, x[:, :2], epochs=3, verbose=0, callbacks=[Eval()])
    message = str(info.value)
    print(f"rank {rank}: {message}")
    assert epochs == [0], "at the end of the first epoch"
    for variable in model.trainable_variables:
        assert f"{variable.path}: on ranks [1], by up to " in message
    assert "hvd.DistributedGradientTape" in message
    assert "hvd.broadcast_variables" in message
    # The distance of the worst variable is right.
    kernels = [hvd.allgather(v.numpy()[None]) for v in tensors(model.trainable_variables)]
    distances = [np.abs(k[1] - k[0]).max() for k in map(np.asarray, kernels)]
    worst = model.trainable_variables[int(np.argmax(distances))].path
    line = f"  {worst}: on ranks [1], by up to {max(distances):.3g}"
    assert line == message.splitlines()[1], (line, message)


def initial_weights_that_differ_are_found_out() -> None:
    model = build()
    kernel = tensors(model.trainable_weights)[0]
    kernel.assign_add(tf.fill(kernel.shape, 0.5 * rank))
    with pytest.raises(disteval.ReplicaDivergenceError) as info:
        disteval.predict(model, VALIDATION)
    assert "kernel" in str(info.value)
    assert ": on ranks [1], by up to 0.5\n" in str(info.value)
    advice = "BroadcastGlobalVariablesCallback(0)" if KERAS_2 else "hvd.broadcast_variables"
    assert advice in str(info.value)


def with_statistics_of_its_own() -> keras.Model:
    model = build()
    mean, _ = tensors(model.non_trainable_weights)
    mean.assign_add(tf.fill(mean.shape, float(rank)))
    return model


def statistics_are_lent() -> None:
    model = with_statistics_of_its_own()
    wanted = hvd.broadcast(model.predict(VALIDATION, verbose=0), 0)
    predictions = disteval.predict(model, VALIDATION)
    if engine.is_chief:
        np.testing.assert_allclose(predictions, wanted, rtol=0, atol=1e-6)


def statistics_are_given_back_after_a_failure() -> None:
    model = with_statistics_of_its_own()
    before = [v.numpy().tobytes() for v in tensors(model.weights)]

    def postprocess(outputs, batch):
        tf.debugging.assert_less(batch, 0.0, message="no")
        return outputs

    with pytest.raises(disteval.ReplicaError, match="no"):
        disteval.predict(model, VALIDATION, postprocess=postprocess)
    assert [v.numpy().tobytes() for v in tensors(model.weights)] == before


def check_raises() -> None:
    with pytest.raises(disteval.ReplicaDivergenceError) as info:
        disteval.predict(with_statistics_of_its_own(), VALIDATION, sync_weights="check")
    assert "moving_mean: on ranks [1], by up to 1\n" in str(info.value)
    assert "moving_variance" not in str(info.value)


def off_skips() -> None:
    model = with_statistics_of_its_own()
    own = model.predict(VALIDATION, verbose=0)
    predictions = disteval.predict(model, VALIDATION, sync_weights="off")
    if engine.is_chief:
        # The rows of each rank are those of its own model: this is what the check is for. The first
        # rank has the first batch of 32.
        difference = np.abs(predictions - own).max(axis=1)
        assert difference[:32].max() <= 1e-6 < 0.1 < difference[32:].min()


def frozen_weights_are_lent() -> None:
    model = build()
    model.layers[1].trainable = False
    kernel = tensors(model.layers[1].weights)[0]
    kernel.assign_add(tf.fill(kernel.shape, float(rank)))
    wanted = hvd.broadcast(model.predict(VALIDATION, verbose=0), 0)
    predictions = disteval.predict(model, VALIDATION)
    if engine.is_chief:
        np.testing.assert_allclose(predictions, wanted, rtol=0, atol=1e-6)


if __name__ == "__main__":
    if engine.is_chief:
        wandb.init(mode="disabled")
    if not KERAS_2:
        the_optimizer_of_horovod_is_found_out()
    initial_weights_that_differ_are_found_out()
    statistics_are_lent()
    statistics_are_given_back_after_a_failure()
    check_raises()
    off_skips()
    frozen_weights_are_lent()
    print("all passed")
