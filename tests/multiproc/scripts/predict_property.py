"""Sharded predictions equal a serial computation in NumPy, for each example of a file.

All that is computed are whole numbers, elementwise, so that equality is exact.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

import disteval
import replicas
import sharded_data
from sample_data import Batches, striped

strategy = replicas.start()
chief = disteval.get_backend(replicas.BACKEND).is_chief
keras = tf.keras
random = np.random.default_rng(0)
X = random.integers(0, 50, size=(60, 2)).astype(np.float32)
Y = random.integers(0, 50, size=60)

# An output, such as {"dtype": "int8", "inner": [2], "ragged": 1}, or a list or dict of outputs.
Form = Any


def is_leaf(form: Form) -> bool:
    return isinstance(form, dict) and "dtype" in form


def mapped(function: Callable[[dict[str, Any]], Any], form: Form) -> Any:
    """Applies a function to each output of a form."""
    if is_leaf(form):
        return function(form)
    if isinstance(form, list):
        return [mapped(function, part) for part in form]
    return {key: mapped(function, part) for key, part in form.items()}


def in_graph(form: dict[str, Any], seeds: tf.Tensor) -> Any:
    """Returns an output, each row computed of the sample's seed."""
    if form["ragged"]:
        lengths = seeds % 4
        positions = tf.ragged.range(lengths).flat_values
        rows = in_graph(
            form | {"ragged": form["ragged"] - 1}, tf.repeat(seeds, lengths) + positions
        )
        return tf.RaggedTensor.from_row_lengths(rows, lengths)
    size = int(np.prod(form["inner"]))
    numbers = (seeds[:, tf.newaxis] * (1 + tf.range(size))) % 100
    numbers = tf.reshape(numbers, [tf.size(seeds), *form["inner"]])
    if form["dtype"] != "string":
        return tf.cast(numbers, form["dtype"])
    texts = tf.strings.join([tf.strings.as_string(numbers), tf.constant(b"\xff\x00")])
    return tf.where(numbers % 3 == 0, "", texts)


def in_numpy(form: dict[str, Any], seed: int) -> np.ndarray:
    """Returns the same row for one sample, in plain Python and NumPy."""
    dtype = tf.as_dtype(form["dtype"]).as_numpy_dtype
    if form["ragged"] == 1:
        parts = [in_numpy(form | {"ragged": 0}, seed + i) for i in range(seed % 4)]
        return np.stack(parts) if parts else np.empty((0, *form["inner"]), dtype)
    if form["ragged"]:
        lower = form | {"ragged": form["ragged"] - 1}
        return objects([in_numpy(lower, seed + i) for i in range(seed % 4)])
    numbers = [seed * (1 + i) % 100 for i in range(int(np.prod(form["inner"])))]
    if form["dtype"] == "string":
        numbers = [b"" if number % 3 == 0 else b"%d\xff\x00" % number for number in numbers]
    return np.array(numbers, dtype).reshape(form["inner"])


def objects(rows: list[Any]) -> np.ndarray:
    result = np.empty(len(rows), object)
    for i, row in enumerate(rows):
        result[i] = row
    return result


def expected(form: dict[str, Any], count: int) -> np.ndarray:
    rows = [in_numpy(form, int(2 * X[i].sum() + 2 + Y[i])) for i in range(count)]
    return objects(rows) if form["ragged"] else np.stack(rows)


def assert_equal(got: Any, want: Any) -> None:
    """The same nest, types, shapes and values."""
    assert type(got) is type(want), (type(got), type(want))
    if isinstance(want, dict):
        assert list(got) == list(want)
        got, want = list(got.values()), list(want.values())
    if isinstance(want, np.ndarray):
        assert (got.dtype, got.shape) == (want.dtype, want.shape)
        if want.dtype != object:
            np.testing.assert_array_equal(got, want)
            return
        got, want = got.reshape(-1), want.reshape(-1)
    if isinstance(want, bytes):
        assert got == want
        return
    for one, other in zip(got, want, strict=True):
        assert_equal(one, other)


def dataset(count: int) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((X[:count], Y[:count]))


SOURCES: dict[str, Callable[[int, int], Any]] = {
    "arrays": lambda n, size: (X[:n], Y[:n]),
    "dataset": lambda n, size: dataset(n),
    "batched dataset": lambda n, size: dataset(n).batch(size),
    "PyDataset": lambda n, size: Batches((X[:n], Y[:n]), size),
    "function": lambda n, size: striped((X[:n], Y[:n])),
    "batched function": lambda n, size: lambda *shard: striped((X[:n], Y[:n]))(*shard).batch(size),
}


class Case:
    """A nest of outputs, and a model of its own, whose loop is traced once for all examples."""

    def __init__(self, form: Form) -> None:
        self.form = form
        with strategy.scope():
            layers = [keras.Input((2,)), keras.layers.Rescaling(2.0, offset=1.0)]
            self.model = keras.Sequential(layers)

    @tf.autograph.experimental.do_not_convert  # nothing in it needs conversion, which takes long
    def postprocess(self, outputs: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> Any:
        seeds = tf.cast(tf.reduce_sum(outputs, axis=1), tf.int32) + tf.cast(batch[1], tf.int32)
        return mapped(lambda form: in_graph(form, seeds), self.form)

    def check(self, source: str, count: int, batch_size: int, num_samples: int | None) -> None:
        if source in SOURCES:
            data = SOURCES[source](count, batch_size)
        else:
            data = sharded_data.made(source, X[:count], Y[:count], batch_size)
        predictions = disteval.predict(
            self.model,
            data,
            batch_size=batch_size,
            num_samples=num_samples,
            postprocess=self.postprocess,
            backend=replicas.BACKEND,
        )
        if not chief:
            assert predictions is None
            return
        rows = min(count, num_samples or count)
        assert_equal(predictions, mapped(lambda form: expected(form, rows), self.form))


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text())
    cases = [Case(form) for form in given["forms"]]
    for example in given["examples"]:
        form, *arguments = example
        try:
            cases[form].check(*arguments)
        except BaseException:
            print(f"{given['forms'][form]} fails for {arguments}")
            raise
    sys.stdout.write(f"{len(given['examples'])} equal\n")
