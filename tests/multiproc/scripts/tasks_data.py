"""Real digits, alone and pasted on canvases, and models whose weights are set by hand."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from sklearn.datasets import load_diabetes, load_digits

keras = tf.keras

GRID, CELL = 3, 12
CANVAS = GRID * CELL
BACKGROUND, IGNORED = 0, 255
_digits = load_digits()
DIGITS = (_digits.images / 16).astype(np.float32)[..., np.newaxis]
LABELS = _digits.target
NAMES = [f"digit {i}" for i in range(10)]


def canvases(count: int) -> dict[str, np.ndarray]:
    """Returns digits on canvases of 3 x 3 cells, with at most one digit at random in each cell.

    Returns:
        `images` (float32, 0 to 1), `masks` (uint8: 0, the digit + 1, or 255 for pixels with
        little ink), `boxes` (float32, xyxy, padded with -1) and `classes` (padded with -1).
    """
    random = np.random.default_rng(0)
    images = np.zeros((count, CANVAS, CANVAS, 1), np.float32)
    masks = np.full((count, CANVAS, CANVAS), BACKGROUND, np.uint8)
    boxes = np.full((count, GRID * GRID, 4), -1, np.float32)
    classes = np.full((count, GRID * GRID), -1, np.int32)
    for i in range(count):
        for cell in np.flatnonzero(random.random(GRID * GRID) < 0.5):
            digit = random.integers(len(DIGITS))
            top, left = np.array(divmod(cell, GRID)) * CELL + random.integers(0, 5, 2)
            place = i, slice(top, top + 8), slice(left, left + 8)
            ink = DIGITS[digit, ..., 0]
            images[place] = DIGITS[digit]
            masks[place] = np.where(ink > 0.4, LABELS[digit] + 1, BACKGROUND)
            masks[place][(ink > 0) & (ink <= 0.2)] = IGNORED
            boxes[i, cell] = left, top, left + 8, top + 8
            classes[i, cell] = LABELS[digit]
    return {"images": images, "masks": masks, "boxes": boxes, "classes": classes}


def templates() -> tuple[np.ndarray, np.ndarray]:
    """Returns kernel and bias of the linear classifier that predicts the nearest class mean."""
    means = np.stack([DIGITS[i == LABELS].mean(axis=0).reshape(-1) for i in range(10)], axis=1)
    return means, -np.square(means).sum(axis=0) / 2


def classifier(classes: int = 10) -> keras.Model:
    """Returns a model with logits of the digits; classes above 9 have no samples."""
    kernel, bias = templates()
    unused = classes - 10
    dense = keras.layers.Dense(classes)
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), dense])
    kernel = np.concatenate([kernel, np.zeros((64, unused))], axis=1)
    dense.set_weights([kernel, np.concatenate([bias, np.full(unused, -5.0)])])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.0), loss)
    return model


def mixed(count: int) -> tf.data.Dataset:
    """Returns inputs of all kinds, with one-hot labels: whether the digit is at least 5."""
    photos = np.repeat(DIGITS[:count] * 2 - 1, 3, axis=-1)
    facts = DIGITS[:count].mean(axis=2)[:, :3, 0]
    facts[0, 1] = np.nan
    notes = [f"a <b>{name}</b>" for name in LABELS[:count]]
    x = {"photo": photos, "depth": DIGITS[:count], "note": notes, "facts": facts}
    y = keras.utils.to_categorical(LABELS[:count] >= 5, 2)
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(16)


def mixed_classifier() -> keras.Model:
    """Returns a model for `mixed`, where text is a scalar to which Keras adds a dimension."""
    photo, depth = keras.Input((8, 8, 3), name="photo"), keras.Input((8, 8, 1), name="depth")
    note, facts = keras.Input((1,), dtype="string", name="note"), keras.Input((3,), name="facts")
    tokens = keras.layers.TextVectorization(vocabulary=["a", "b"], output_sequence_length=3)(note)
    parts = [photo, depth, keras.layers.Embedding(4, 2)(tokens), facts]
    flat = keras.layers.Concatenate()([keras.layers.Flatten()(part) for part in parts[:3]])
    inputs = {"photo": photo, "depth": depth, "note": note, "facts": facts}
    model = keras.Model(inputs, keras.layers.Dense(2, "softmax")(flat))
    model.compile(keras.optimizers.SGD(0.0), "categorical_crossentropy")
    return model


def regressor() -> keras.Model:
    """Returns the least-squares fit of scikit-learn's diabetes data."""
    x, y = load_diabetes(return_X_y=True)
    weights = np.linalg.lstsq(np.c_[x, np.ones(len(x))], y, rcond=None)[0]
    dense = keras.layers.Dense(1)
    model = keras.Sequential([keras.Input((x.shape[1],)), dense])
    dense.set_weights([weights[:-1, np.newaxis], weights[-1:]])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    return model


def segmenter() -> keras.Model:
    """Returns a model that finds digits where there is ink, by the templates around the pixel."""
    kernel, bias = templates()
    conv = keras.layers.Conv2D(11, 8, padding="same")
    model = keras.Sequential([keras.Input((CANVAS, CANVAS, 1)), conv])
    kernel = np.concatenate([np.zeros((64, 1)), kernel], axis=1).reshape(8, 8, 1, 11)
    conv.set_weights([kernel, np.concatenate([[1.5], bias])])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=IGNORED)
    model.compile(keras.optimizers.SGD(0.0), loss)
    return model


class Detector(keras.Model):
    """Predicts a digit at the center of each cell of a canvas, with a score by its ink."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(10)
        self.dense.build((None, 64))
        self.dense.set_weights([5 * weights for weights in templates()])
        starts = np.arange(GRID) * CELL + 2
        left, top = np.meshgrid(starts, starts)
        corners = np.stack([left, top, left + 8, top + 8], axis=-1)
        self.boxes = corners.reshape(1, GRID * GRID, 4).astype(np.float32)

    def call(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        rows = tf.shape(x)[0]
        cells = tf.reshape(x, [rows, GRID, CELL, GRID, CELL])
        cells = tf.transpose(cells, [0, 1, 3, 2, 4])[..., 2:10, 2:10]
        cells = tf.reshape(cells, [rows, GRID * GRID, 64])
        probabilities = tf.nn.softmax(self.dense(cells))
        ink = tf.reduce_mean(cells, axis=-1)
        return {
            "boxes": tf.tile(self.boxes, [rows, 1, 1]),
            "scores": tf.reduce_max(probabilities, axis=-1) * ink,
            "classes": tf.argmax(probabilities, axis=-1),
        }

    def train_step(self, data: object) -> dict[str, tf.Tensor]:
        return {"loss": tf.zeros(())}


def detector() -> keras.Model:
    model = Detector()
    model(tf.zeros((1, CANVAS, CANVAS, 1)))
    model.compile(keras.optimizers.SGD(0.0))
    return model


def texts() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Returns numbers in words with noise as prompts, padded token ids, and the words alone."""
    random = np.random.default_rng(0)
    words = ["null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "七", "восемь", "nueve"]
    references = [" ".join(words[i] for i in random.choice(10, 1 + n % 4)) for n in range(120)]
    rows = [[ord(letter) for letter in text] for text in references]
    tokens = tf.ragged.constant(rows, dtype=tf.int32).to_tensor().numpy()
    noisy = np.where((random.random(tokens.shape) < 0.1) & (tokens > 0), ord("?"), tokens)
    # The `fit` of Keras cannot split booleans among replicas.
    return {"token_ids": noisy, "padding_mask": np.sign(noisy)}, np.array(references)


def text_of(ids: np.ndarray) -> str:
    return "".join(chr(i) for i in ids if i)


class Echo(keras.Model):
    """Returns the token ids of its prompts."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

    def call(self, x: dict[str, tf.Tensor]) -> tf.Tensor:
        return tf.cast(x["token_ids"], tf.float32) * self.scale

    def train_step(self, data: object) -> dict[str, tf.Tensor]:
        return {"loss": tf.zeros(())}


def echo() -> keras.Model:
    model = Echo()
    model({"token_ids": tf.zeros((1, 4), tf.int32)})
    model.compile(keras.optimizers.SGD(0.0))
    return model
