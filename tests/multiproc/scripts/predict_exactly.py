"""`disteval.predict` gives what `model.predict` gives, for any number of samples and batch size."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

import disteval
import replicas
from disteval.data.sharding import Segment
from disteval.inference.functions import BatchFunctions
from disteval.inference.loop import Loop
from sample_data import Batches, striped

strategy = replicas.start()
chief = disteval.get_backend(replicas.BACKEND).is_chief
keras = tf.keras
random = np.random.default_rng(0)
X = random.normal(size=(300, 4, 4, 1)).astype(np.float32)
Y = random.integers(0, 5, size=300)

keras.utils.set_random_seed(0)
with strategy.scope():
    model = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Conv2D(3, 2, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(5),
        ]
    )
expected = model.predict_on_batch(X) if replicas.BACKEND != "mirrored" else model(X).numpy()


def check(predictions: object, wanted: object) -> None:
    """On the chief, the same rows in the same order; on other ranks, nothing."""
    if not chief:
        assert predictions is None
        return
    tf.nest.assert_same_structure(predictions, wanted)
    for got, want in zip(tf.nest.flatten(predictions), tf.nest.flatten(wanted), strict=True):
        assert got.dtype == want.dtype, (got.dtype, want.dtype)
        assert len(got) == len(want)
        if got.dtype == object:
            assert all(np.array_equal(a, b) for a, b in zip(got, want, strict=True))
        elif got.dtype == np.float32:
            tolerance = 1e-6 if replicas.DEVICE == "CPU" else 1e-5
            np.testing.assert_allclose(got, want, rtol=0, atol=tolerance)
        else:
            np.testing.assert_array_equal(got, want)


def every_number_of_samples() -> None:
    for batch_size in (1, 3, 8, 64):
        for n in [*range(1, 41), 97, 128, 300]:
            predictions = disteval.predict(model, (X[:n], Y[:n]), batch_size=batch_size)
            check(predictions, expected[:n])


def every_source() -> None:
    dataset = tf.data.Dataset.from_tensor_slices((X, Y))

    sources = {
        "x alone": X,
        "x, y, sample_weight": (X, Y, np.ones(300)),
        "float64": (X.astype(np.float64), Y),
        "tensors": (tf.constant(X), tf.constant(Y)),
        "dataset": dataset,
        "batched dataset": dataset.batch(7),
        "dataset of unknown length": dataset.filter(lambda x, y: True),
        "dataset of x alone": tf.data.Dataset.from_tensor_slices(X).batch(50),
        "shuffled batch sizes": dataset.batch(7).concatenate(dataset.batch(3)),
        "PyDataset": Batches((X, Y), 7),
        "sharded": disteval.sharded((X, Y), lambda elements: elements),
        "sharded batches": disteval.sharded(dataset, lambda elements: elements.batch(11)),
        "function": striped((X, Y)),
        "batched function": lambda *shard: striped((X, Y))(*shard).batch(11),
    }
    for name, source in sources.items():
        for n in (None, 1, 2, 10, 150):
            wanted = np.concatenate([expected, expected]) if "shuffled" in name else expected
            print(f"{name}, num_samples={n}")
            check(disteval.predict(model, source, num_samples=n), wanted[:n])


def every_output() -> None:
    dtypes = ["float16", "float32", "float64", "bfloat16", "bool", "int8", "int16", "int32",
              "int64", "uint8", "uint16", "uint32", "uint64"]  # fmt: skip

    def postprocess(outputs: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> object:
        label = tf.cast(batch[1], tf.int64)
        text = tf.strings.join([tf.strings.as_string(label), tf.constant(b"\xff\x00")])
        return {
            "dtypes": [tf.cast(label, dtype) for dtype in dtypes],
            "shapes": (tf.reshape(outputs, [-1, 5, 1]), tf.zeros([tf.shape(outputs)[0], 2, 0, 3])),
            "strings": (text, tf.stack([text, text], axis=1)),
            "ragged": tf.ragged.range(label),
            "ragged of rows": tf.RaggedTensor.from_row_lengths(tf.repeat(outputs, label, 0), label),
            "ragged of ragged": tf.ragged.stack([tf.ragged.range(label)] * 2, axis=1),
            "ragged strings": tf.RaggedTensor.from_row_lengths(tf.repeat(text, label), label),
        }

    def objects(rows: list[object]) -> np.ndarray:
        result = np.empty(len(rows), object)
        result[:] = rows
        return result

    for n in (1, 2, 3, 50):
        texts = [b"%d\xff\x00" % label for label in Y[:n]]
        wanted = {
            "dtypes": [Y[:n].astype(tf.as_dtype(dtype).as_numpy_dtype) for dtype in dtypes],
            "shapes": (expected[:n].reshape(n, 5, 1), np.zeros((n, 2, 0, 3), np.float32)),
            "strings": (np.array(texts, object), np.array([[t, t] for t in texts], object)),
            "ragged": objects([np.arange(label) for label in Y[:n]]),
            "ragged of rows": None,
            "ragged of ragged": None,
            "ragged strings": objects(
                [np.array([t] * k, object) for t, k in zip(texts, Y, strict=False)]
            ),
        }
        predictions = disteval.predict(model, (X[:n], Y[:n]), postprocess=postprocess, batch_size=4)
        if chief:
            rows = predictions.pop("ragged of rows")
            for row, label, output in zip(rows, Y, expected, strict=False):
                np.testing.assert_allclose(row, np.tile(output, (label, 1)), rtol=0, atol=1e-6)
            pairs = predictions.pop("ragged of ragged")
            for pair, label in zip(pairs, Y, strict=False):
                assert [list(part) for part in pair] == [list(range(label))] * 2
            del wanted["ragged of rows"], wanted["ragged of ragged"]
        check(predictions, wanted)


def nests_of_inputs() -> None:
    inputs = {"a": keras.Input((3,), name="a"), "b": keras.Input((2,), name="b")}
    with strategy.scope():
        sums = keras.layers.Dense(2)(keras.layers.Concatenate()([inputs["a"], inputs["b"]]))
        several = keras.Model(inputs, {"sum": sums, "pair": [inputs["a"], inputs["b"]]})
    x = {"a": random.normal(size=(20, 3)).astype("f"), "b": random.normal(size=(20, 2)).astype("f")}
    wanted = tf.nest.map_structure(np.asarray, several(x))
    check(disteval.predict(several, (x, Y[:20])), wanted)
    check(disteval.predict(several, tf.data.Dataset.from_tensor_slices((x, Y[:20]))), wanted)
    check(disteval.predict(several, tf.data.Dataset.from_tensor_slices(x).batch(3)), wanted)


def batches_of_different_shapes() -> None:
    with strategy.scope():
        pointwise = keras.Sequential([keras.Input((None, 1)), keras.layers.Dense(2)])
    lengths = [3, 3, 5, 2, 7, 7, 1]
    batches = [random.normal(size=(2, length, 1)).astype("f") for length in lengths]
    dataset = tf.data.Dataset.from_generator(
        lambda: iter(batches), output_signature=tf.TensorSpec([None, None, 1])
    )
    predictions = disteval.predict(pointwise, dataset)
    if chief:
        rows = [row for batch in batches for row in pointwise(batch).numpy()]
        for got, want in zip(predictions, rows, strict=True):
            np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)
    # The same length in all batches is no reason for an array of arrays.
    check(disteval.predict(pointwise, dataset.take(2)), np.stack(rows[:4]) if chief else None)


def inputs_are_on_the_device_of_their_replica() -> None:
    loop = Loop(model, BatchFunctions(), strategy)
    segments = [
        Segment(np.arange(2), (X[i : i + 2], tf.constant(Y[i : i + 2])), np.array([0, 2]))
        for i in range(loop.num_replicas)
    ]
    for i, inputs in enumerate(loop.inputs(segments)):
        for leaf in tf.nest.flatten(inputs):
            assert leaf.device.endswith(f"device:{replicas.DEVICE}:{i}"), leaf.device


if __name__ == "__main__":
    inputs_are_on_the_device_of_their_replica()
    nests_of_inputs()
    every_output()
    every_source()
    batches_of_different_shapes()
    every_number_of_samples()
    print("all equal")
