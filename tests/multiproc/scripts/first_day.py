"""What goes wrong on a first day with two ranks is told; and loops of one's own."""

from __future__ import annotations

import os
import time

import horovod.tensorflow as hvd
import numpy as np
import pytest
import tensorflow as tf
import wandb

import disteval
import replicas
from messages import Messages

keras = tf.keras
rank = int(os.environ["HOROVOD_RANK"])
random = np.random.default_rng(0)
X = random.normal(size=(37, 3)).astype(np.float32)
Y = X.sum(axis=1, keepdims=True)


messages = Messages()


class Eval(disteval.DistEvalCallback):
    """Logs nothing."""

    def __init__(self, **options: object) -> None:
        super().__init__(["x"], ["y"], validation_data=(X, Y), batch_size=5, **options)

    def add_ground_truth(self, logs=None):
        pass

    def add_model_predictions(self, epoch, logs=None):
        pass


class Averaged(keras.Sequential):
    """Averages the gradients of the ranks."""

    def train_step(self, data):
        x, y = data
        with hvd.DistributedGradientTape(tf.GradientTape()) as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        variables = [v.value for v in self.trainable_variables]
        gradients = tape.gradient(loss, variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return {"loss": loss}


def network(compiled: bool = True) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = Averaged([keras.Input((3,)), keras.layers.Dense(1)])
    if compiled:
        model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False)
    return model


def a_job_without_init_is_an_error() -> None:
    told = r"`horovodrun` started.*with 2 ranks.*`hvd.init\(\)`.*backend=\"single\""
    for call in (
        disteval.get_backend,
        Eval,
        lambda: disteval.predict(network(), X),
        lambda: disteval.evaluate(network(), (X, Y)),
    ):
        with pytest.raises(disteval.DistEvalError, match=told):
            call()
    assert disteval.get_backend("single").size == 1
    assert disteval.predict(network(), X, backend="single").shape == (37, 1)


def a_chief_without_a_run_is_an_error_everywhere() -> None:
    callback = Eval()
    with pytest.raises(disteval.DistEvalError, match="There is no W&B run on rank 0") as info:
        network().fit(X, Y, verbose=0, callbacks=[callback])
    assert type(info.value) is disteval.DistEvalError


def runs_of_other_ranks_are_named_once() -> None:
    model = network()
    with wandb.init(mode="offline", id=f"own{rank}"):
        for callback in (Eval(), Eval()):
            for _ in range(2):
                model.fit(X, Y, verbose=0, callbacks=[callback])
            found = messages.take()
            if rank:
                assert found == []
                continue
            (message,) = found
            assert "1 of 2 ranks have a W&B run of their own (rank 1 has run own1)" in message
            assert "`if disteval.get_backend().is_chief: wandb.init(...)`" in message


def runs_in_shared_mode_are_one_run() -> None:
    settings = wandb.Settings(mode="shared", x_primary=rank == 0)
    with wandb.init(project="first_day", id="together", settings=settings):
        network().fit(X, Y, verbose=0, callbacks=[Eval()])
        assert messages.take() == []


def a_loop_of_ones_own() -> None:
    for compiled in (True, False):
        model = network(compiled)
        wanted = []
        with Eval() as callback:
            for epoch in range(3):
                found = callback.evaluate(model, epoch)
                assert set(found) == ({"loss"} if compiled else set())
                assert len(set(map(str, hvd.allgather_object(found)))) == 1
                if disteval.get_backend().is_chief:
                    wanted = model.predict(X, verbose=0)
                    np.testing.assert_allclose(callback.predictions, wanted, rtol=0, atol=1e-6)
                model.layers[0].bias.assign_add([1.0])
        assert callback.predictions is None or len(wanted) == 37


def evaluate_of_keras_on_every_rank() -> None:
    callback = Eval()
    network().evaluate(X, Y, verbose=0, callbacks=[callback])
    assert set(callback.metrics) == {"loss"}


def a_wrong_call_on_one_rank_is_an_error_on_both() -> None:
    # Built on both ranks, since Horovod names gradients by the layers, and Keras counts these.
    model = network()
    for arguments, told in (((None, X), "not a Keras model"), ((model, X[:0]), "is empty")):
        given = arguments if rank else (model, X)
        with pytest.raises(disteval.DistEvalError, match=told):
            disteval.predict(*given)
    with pytest.raises(disteval.DistEvalError, match=r"rank 1 of 2 failed|must be a function"):
        disteval.predict(model, X, postprocess=(lambda y: y) if rank else None)


def a_wrong_evaluation_on_one_rank_is_an_error_on_both() -> None:
    model, callback = network(), Eval()
    callback.evaluate(model, 0)
    for arguments, told in (((None, 1), "not a Keras model"), ((model, -1), "epoch=-1")):
        with pytest.raises(disteval.DistEvalError, match=told):
            callback.evaluate(*(arguments if rank else (model, 1)))
    callback.evaluate(model, 1)  # the ranks are still in step
    callback.close()


def a_learning_rate_that_differs_is_named() -> None:
    """`ReduceLROnPlateau` acts on one rank only, on what each rank computes for itself."""
    model = network()

    class Own(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["val_loss"] = [1.0, 1.0 - epoch, 3.0][epoch] if rank == 0 else 1.0

    plateau = keras.callbacks.ReduceLROnPlateau(patience=1, factor=0.5, min_delta=0)
    with pytest.raises(disteval.ReplicaDivergenceError) as info:
        # Before it, so that the rates differ in the next epoch.
        model.fit(X, Y, epochs=3, verbose=0, callbacks=[Eval(validate=False), Own(), plateau])
    message = str(info.value)
    print(f"rank {rank}: {message}")
    assert "The learning rate differs: 0.1 on rank 0, 0.05 on rank 1. Most likely" in message
    assert "ReduceLROnPlateau" in message
    assert "DistributedGradientTape" not in message, "the user has done that already"


def a_dataset_that_every_rank_decodes_is_named() -> None:
    decoded: list[np.ndarray] = []

    def decode(x: np.ndarray) -> np.ndarray:
        time.sleep(0.02)  # the rank waits for its input, which is what is warned of
        decoded.append(x)
        return x

    def pipeline(elements: tf.data.Dataset) -> tf.data.Dataset:
        samples = elements.map(
            lambda x: tf.ensure_shape(tf.numpy_function(decode, [x], tf.float32), [3])
        )
        return samples.batch(4)

    x = random.normal(size=(80, 3)).astype(np.float32)
    dataset = pipeline(tf.data.Dataset.from_tensor_slices(x))
    model = network()
    messages.take()
    disteval.predict(model, dataset)
    told = messages.take()
    assert len(told) == (1 if rank == 0 else 0), told
    for message in told:
        assert "s, since each of 2 ranks reads all of validation_data" in message
        assert "disteval.sharded(elements, lambda d: d.map(decode).batch(32))" in message
    decoded.clear()
    disteval.predict(model, dataset)
    of_dataset = len(decoded)
    decoded.clear()
    disteval.predict(model, disteval.sharded(x, pipeline))
    print(f"rank {rank}: {of_dataset} samples of a dataset, {len(decoded)} with elements")
    assert of_dataset >= len(x)
    # Its own half, and what is read twice to check the order.
    assert len(decoded) < 0.8 * of_dataset


def the_average_of_horovod_raises() -> None:
    """As the README says: under Keras 3, metrics cannot be averaged by Horovod's callback."""
    from horovod.tensorflow.keras.callbacks import MetricAverageCallback

    with pytest.raises(AttributeError) as info:
        network().fit(X, Y, verbose=0, callbacks=[MetricAverageCallback()])
    print(f"rank {rank}: MetricAverageCallback: {info.value!r}")


if __name__ == "__main__":
    a_job_without_init_is_an_error()
    replicas.start()
    a_chief_without_a_run_is_an_error_everywhere()
    runs_of_other_ranks_are_named_once()
    runs_in_shared_mode_are_one_run()
    if hvd.rank() == 0:
        wandb.init(mode="offline")
    a_loop_of_ones_own()
    evaluate_of_keras_on_every_rank()
    a_wrong_call_on_one_rank_is_an_error_on_both()
    a_wrong_evaluation_on_one_rank_is_an_error_on_both()
    a_learning_rate_that_differs_is_named()
    a_dataset_that_every_rank_decodes_is_named()
    the_average_of_horovod_raises()
    print("all passed")
