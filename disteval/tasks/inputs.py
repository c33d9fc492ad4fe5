"""What a model was given, as cells of a table: images, text, numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import PIL.Image
import tensorflow as tf
import wandb

from disteval.errors import DataError

# Samples from which the range of an image's values is learned. It is one range for all images:
# by its own range, a dark image would become a bright one.
SAMPLED = 64

# Images up to 255 are brighter than this somewhere, in one of those. Else they have another range,
# such as 0 to 16 of scikit-learn's digits.
DARK = 64

# Vectors of so many numbers become a column for each, which can be sorted and filtered by.
MAX_FEATURES = 32


class Inputs:
    """How the inputs of samples become cells.

    The columns are `image` for an image of shape `(height, width)` or `(height, width, channels)`
    with 1, 3 or 4 channels, `text` for one string, `x` for a number, `x/0`, `x/1`, ... for a short
    vector of numbers or strings and `x` for a longer one. If x is a nest, the name of each leaf is
    appended, as in `x/age`. For what is nothing of that there is no column.

    Args:
        samples: x of the first samples.
        image_key: Which leaf of x is the image, if there are several; that column is `image`.
            With `False`, there is no column at all.

    Raises:
        DataError: `image_key` is not the key of an image.
    """

    def __init__(self, samples: Sequence[Any], image_key: Any = None) -> None:
        self._columns: dict[Any, str] = {}
        self._ranges: dict[Any, tuple[float, float]] = {}
        leaves = [_leaves(x) for x in samples]
        images = [key for key, leaf in leaves[0].items() if _is_image(leaf)]
        if image_key not in (None, False) and image_key not in images:
            raise DataError(
                f"Received: image_key={image_key!r}. Expected: the key of an image, one of "
                f"{images}."
            )
        if image_key is False:
            return
        for key, leaf in leaves[0].items():
            kind = _kind(leaf)
            if kind is not None:
                plain = key is None or key == image_key
                self._columns[key] = kind if plain else f"{kind}/{key}"
        for key in images:
            self._ranges[key] = value_range([np.asarray(leaf[key]) for leaf in leaves])
        chosen = images if image_key is None else [image_key]
        self._image_key = chosen[0] if len(chosen) == 1 else _NO_IMAGE

    def cells(self, x: Any) -> dict[str, Any]:
        """Returns the cells of one sample's input, by column."""
        cells: dict[str, Any] = {}
        leaves = _leaves(x)
        for key, column in self._columns.items():
            leaf = leaves[key]
            if key in self._ranges:
                cells[column] = wandb.Image(picture(leaf, self._ranges[key]))
            elif _kind(leaf) == "text":
                cells[column] = np.asarray(leaf).item()
            elif np.ndim(leaf) == 1 and len(leaf) <= MAX_FEATURES:
                cells |= {f"{column}/{i}": value for i, value in enumerate(leaf)}
            else:
                cells[column] = leaf
        return cells

    def image(self, x: Any) -> PIL.Image.Image:
        """Returns the one image of a sample's input.

        Raises:
            DataError: There is none, or several.
        """
        if self._image_key is _NO_IMAGE:
            raise DataError(
                f"Received: {len(self._ranges)} images in x. Expected: one, of shape (height, "
                "width) or (height, width, channels) with 1, 3 or 4 channels, or image_key to "
                "say which."
            )
        return picture(_leaves(x)[self._image_key], self._ranges[self._image_key])


_NO_IMAGE = object()


def value_range(images: Sequence[np.ndarray]) -> tuple[float, float]:
    """Returns which values are black and white: 0 and 1, -1 and 1, 0 and 255, or what occurs."""
    finite = [image[np.isfinite(image)] for image in images]
    low = min((float(values.min()) for values in finite if values.size), default=0.0)
    high = max((float(values.max()) for values in finite if values.size), default=0.0)
    for black, white in ((0.0, 1.0), (-1.0, 1.0)):
        if black <= low and high <= white:
            return black, white
    if low >= 0 and high <= 255:
        return 0.0, 255.0 if high > DARK else high
    return low, high


def picture(image: Any, values: tuple[float, float]) -> PIL.Image.Image:
    """Returns an image as a picture of 8 bits.

    W&B would not rescale it: floating-point images with values up to 1 would all be black.

    Args:
        image: Shape `(height, width)` or `(height, width, channels)`.
        values: Which values are black and white.
    """
    array = np.asarray(image)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.dtype != np.uint8 or values != (0.0, 255.0):
        black, white = values
        scaled = (array.astype(np.float32) - black) * (255 / max(white - black, 1e-12))
        # What is not a number is black.
        array = np.nan_to_num(np.clip(np.round(scaled), 0, 255)).astype(np.uint8)
    return PIL.Image.fromarray(array)


def _leaves(x: Any) -> dict[Any, Any]:
    """Returns the leaves of a sample's input by key; a single one has the key `None`."""
    if isinstance(x, Mapping):
        return dict(x)
    if isinstance(x, list | tuple):
        return dict(enumerate(x))
    return {None: x}


def _kind(leaf: Any) -> str | None:
    if _is_image(leaf):
        return "image"
    if isinstance(leaf, tf.RaggedTensor):
        return None
    array = np.asarray(leaf)
    if array.ndim > 1 or array.size == 0:
        return None
    if isinstance(array.flat[0], str | bytes):
        return "text" if array.size == 1 else "x"
    return "x" if array.dtype.kind in "biufV" else None


def _is_image(leaf: Any) -> bool:
    shape: tuple[int, ...] = () if isinstance(leaf, tf.RaggedTensor) else np.shape(leaf)
    if len(shape) not in (2, 3) or np.asarray(leaf).dtype.kind not in "biufV":
        return False
    return len(shape) == 2 or shape[-1] in (1, 3, 4)
