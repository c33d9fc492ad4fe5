"""`infer` gives on any number of replicas what it gives batch by batch on one device.

The examples are those of the docstring of `DistEvalCallback.infer`.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import disteval
import replicas

strategy = replicas.start()
backend = disteval.get_backend(replicas.BACKEND)
keras = tf.keras
random = np.random.default_rng(0)
IMAGES = random.normal(size=(50, 4, 4, 1)).astype(np.float32)
TOKENS = random.integers(0, 11, size=(50, 5)).astype(np.int32)
Y = np.zeros(50)
BATCH = 4
# One process has one Python.
CAN_RUN_PYTHON = replicas.BACKEND != "mirrored"

keras.utils.set_random_seed(0)
with strategy.scope():
    image_model, teacher = (
        keras.Sequential([
            keras.Input((4, 4, 1)),
            keras.layers.Conv2D(3, 2),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dense(6, name="embedding"),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(5),
        ])
        for _ in range(2)
    )  # fmt: skip
    text_model = keras.Sequential(
        [keras.Input((None,), dtype="int32"), keras.layers.Embedding(11, 8), keras.layers.Dense(11)]
    )


def example(title: str) -> Callable[[Any, Any], Any]:
    """Returns the `infer` of the docstring that follows a title."""
    text = disteval.DistEvalCallback.infer.__doc__ or ""
    code = re.search(rf"{title}[^:]*:\s*```python\n(.*?)```", text, re.DOTALL)
    assert code is not None, title
    names: dict[str, Any] = {"tf": tf, "keras": keras}
    exec(textwrap.dedent(code[1]), names)
    infer = names["infer"]
    return lambda model, batch: infer(SimpleNamespace(teacher=teacher), model, batch)


def one_by_one(model: Any, x: np.ndarray, infer: Callable[[Any, Any], Any]) -> Any:
    """Returns what `infer` gives batch by batch, as one nest of arrays."""
    batches = [(x[i : i + BATCH], Y[i : i + BATCH]) for i in range(0, len(x), BATCH)]
    parts = [infer(model, tf.nest.map_structure(tf.constant, batch)) for batch in batches]
    return tf.nest.map_structure(lambda *rows: np.concatenate(rows), *parts)


def check(predictions: Any, wanted: Any, tolerance: float = 1e-6) -> None:
    if not backend.is_chief:
        assert predictions is None
        return
    tf.nest.assert_same_structure(predictions, wanted)
    for got, want in zip(tf.nest.flatten(predictions), tf.nest.flatten(wanted), strict=True):
        assert (got.dtype, got.shape) == (want.dtype, want.shape)
        if want.dtype.kind == "f":
            np.testing.assert_allclose(got, want, rtol=0, atol=tolerance)
        else:
            np.testing.assert_array_equal(got, want)


def examples_of_the_docstring() -> None:
    for title, model, x in [
        ("Test-time augmentation", image_model, IMAGES),
        ("Two models", image_model, IMAGES),
        ("The embeddings of an inner layer", image_model, IMAGES),
        ("Text, token by token", text_model, TOKENS),
    ]:
        infer = example(title)
        wanted = one_by_one(model, x, infer)
        check(disteval.predict(model, (x, Y), batch_size=BATCH, infer=infer), wanted)
        if CAN_RUN_PYTHON:
            found = disteval.predict(model, (x, Y), batch_size=BATCH, infer=infer, eager=True)
            check(found, wanted)
        print("equal:", title)


class Writer(keras.Model):
    """Writes texts with a function that is traced once and kept, as models of KerasHub do."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(26)
        self._write: Any = None

    def call(self, letters: tf.Tensor) -> tf.Tensor:
        return self.dense(tf.one_hot(letters, 26))

    def generate(self, prompts: list[str]) -> list[str]:
        """Returns each prompt with three letters more."""
        if self._write is None:

            @tf.function(reduce_retracing=True)
            def write(letters: tf.Tensor) -> tf.Tensor:
                for _ in tf.range(3):
                    tf.autograph.experimental.set_loop_options(
                        shape_invariants=[(letters, tf.TensorShape([None]))]
                    )
                    following = tf.argmax(self(letters[-1:])[0], output_type=tf.int32)
                    letters = tf.concat([letters, [following]], axis=0)
                return letters

            self._write = write
        codes = [tf.constant([ord(letter) - ord("a") for letter in text]) for text in prompts]
        letters = [self._write(code) for code in codes]
        return ["".join(chr(ord("a") + i) for i in row.numpy()) for row in letters]


def strings_of_plain_python() -> None:
    prompts = np.array([chr(ord("a") + i % 26) * (1 + i % 3) for i in range(41)])
    with strategy.scope():
        writer = Writer()
        writer.generate(["a"])

    def infer(model: Writer, batch: Any) -> dict[str, Any]:
        texts = model.generate([text.decode() for text in batch[0].numpy()])
        return {"text": texts, "length": np.array([len(text) for text in texts])}

    for seed in (0, 1):
        # Each evaluation has the newest weights, though the function was traced before.
        kernel, bias = writer.dense.weights
        kernel.assign(np.random.default_rng(seed).normal(size=(26, 26)))
        bias.assign(np.zeros(26))
        arguments = {"batch_size": BATCH, "infer": infer, "eager": True}
        if not CAN_RUN_PYTHON:
            with pytest.raises(disteval.DistEvalError, match=r"with 2 replicas.*horovodrun -np 2"):
                disteval.predict(writer, (prompts, prompts), **arguments)
            continue
        found = disteval.predict(writer, (prompts, prompts), **arguments)
        if backend.is_chief:
            wanted = writer.generate(prompts.tolist())
            assert [text.decode() for text in found["text"]] == wanted
            assert found["length"].tolist() == [len(text) for text in wanted]
    print("equal: strings")


def random_numbers_belong_to_samples() -> None:
    def drawn(model: Any, batch: Any) -> tf.Tensor:
        def draw(row: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            logits, seed = row
            return tf.random.stateless_categorical(logits[tf.newaxis], 1, seed)[0, 0]

        logits = model(batch[0], training=False)
        return tf.map_fn(draw, (logits, disteval.sample_seeds()), fn_output_signature=tf.int64)

    logits = image_model(IMAGES, training=False)
    wanted = np.array(
        [tf.random.stateless_categorical(logits[i : i + 1], 1, [i, 0])[0, 0] for i in range(50)]
    )
    assert len(set(wanted.tolist())) > 1
    dataset = tf.data.Dataset.from_tensor_slices((IMAGES, Y))
    for data in [(IMAGES, Y), dataset, dataset.batch(7)]:
        for size in (1, 3, 50):
            check(disteval.predict(image_model, data, batch_size=size, infer=drawn), wanted)
    print("equal: seeds of samples")


def dropout_that_is_left_on() -> None:
    """The random numbers of Keras' own layers depend on the batch, and not on the replica."""

    def infer(model: Any, batch: Any) -> tf.Tensor:
        return model(batch[0], training=True)

    for eager in (False, True) if CAN_RUN_PYTHON else (False,):
        before = [np.asarray(variable) for variable in image_model.variables]
        arguments = {"batch_size": BATCH, "infer": infer, "eager": eager}
        found = disteval.predict(image_model, (IMAGES, Y), **arguments)
        if backend.is_chief and replicas.BACKEND != "mirrored":
            check(disteval.predict(image_model, (IMAGES, Y), backend="single", **arguments), found)
        elif backend.is_chief:
            check(disteval.predict(image_model, (IMAGES, Y), **arguments), found)
        if not eager:  # as plain Python, the model's own code may change it
            for variable, value in zip(image_model.variables, before, strict=True):
                np.testing.assert_array_equal(variable, value)
    print("equal: dropout")


def the_state_of_the_chief_is_lent() -> None:
    if not CAN_RUN_PYTHON:
        return
    mean = next(v for v in image_model.non_trainable_variables if "moving_mean" in v.path)
    chiefs = np.asarray(mean)
    own = chiefs + backend.rank
    mean.assign(own)
    found = disteval.predict(
        image_model,
        (IMAGES, Y),
        batch_size=BATCH,
        infer=lambda model, batch: model(batch[0]).numpy(),
        eager=True,
    )
    np.testing.assert_array_equal(mean, own)
    mean.assign(chiefs)
    if backend.is_chief:
        check(found, one_by_one(image_model, IMAGES, lambda model, batch: model(batch[0])))
    print("equal: lent state")


if __name__ == "__main__":
    examples_of_the_docstring()
    strings_of_plain_python()
    random_numbers_belong_to_samples()
    dropout_that_is_left_on()
    the_state_of_the_chief_is_lent()
    print("all equal")
