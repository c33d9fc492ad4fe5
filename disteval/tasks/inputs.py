"""Inputs of a model as table cells: images, text, numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import PIL.Image
import tensorflow as tf
import wandb

from disteval.errors import DataError

# So many samples determine the range of an image's values. All images share one range: scaled by
# a range of its own, a dark image would become bright.
RANGE_SAMPLES = 64

# Values up to 255 are taken for 8-bit gray levels only if one of them is above this. Other images
# have a smaller range, such as 0 to 16 in scikit-learn's digits.
MAX_DARK = 64

# Vectors up to this length get a column for each number, which can be sorted and filtered.
MAX_FEATURES = 32

_NO_IMAGE = object()


class Inputs:
    """Turns the inputs of samples into table cells.

    The columns are `image` for an image of shape `(height, width)` or `(height, width, channels)`
    with 1, 3 or 4 channels, `text` for one string, `x` for a number, `x/0`, `x/1`, ... for a short
    vector of numbers or strings, and `x` for a longer vector. If x is a nest, the key of each leaf
    is appended, as in `x/age`. Other inputs have no column.

    Args:
        samples: x of the first samples.
        image_key: The key of the leaf of x that becomes the column `image`, if x has several
            images. With `False`, there are no columns at all.

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
                "`image_key` must be the key of an image. "
                f"Received: image_key={image_key!r}. Expected: one of {images}."
            )
        if image_key is False:
            return
        for key, leaf in leaves[0].items():
            kind = _kind(leaf)
            if kind is not None:
                is_main = key is None or key == image_key
                self._columns[key] = kind if is_main else f"{kind}/{key}"
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
            DataError: x has no image, or several and no `image_key` was given.
        """
        if self._image_key is _NO_IMAGE:
            raise DataError(
                f"This evaluator needs one image. Received: {len(self._ranges)} images in x. "
                "Expected: one, of shape (height, width) or (height, width, channels) with 1, 3 "
                "or 4 channels; with several, choose one by `image_key`."
            )
        return picture(_leaves(x)[self._image_key], self._ranges[self._image_key])


def value_range(images: Sequence[np.ndarray]) -> tuple[float, float]:
    """Returns the values of black and white: 0 and 1, -1 and 1, 0 and 255, or the extremes."""
    finite = [image[np.isfinite(image)] for image in images]
    low = min((float(values.min()) for values in finite if values.size), default=0.0)
    high = max((float(values.max()) for values in finite if values.size), default=0.0)
    for black, white in ((0.0, 1.0), (-1.0, 1.0)):
        if black <= low and high <= white:
            return black, white
    if low >= 0 and high <= 255:
        return 0.0, 255.0 if high > MAX_DARK else high
    return low, high


def picture(image: Any, values: tuple[float, float]) -> PIL.Image.Image:
    """Returns an array as an image of 8 bits.

    W&B does not rescale arrays: a floating-point image with values up to 1 would be all black.

    Args:
        image: Shape `(height, width)` or `(height, width, channels)`.
        values: The values of black and white.
    """
    array = np.asarray(image)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.dtype != np.uint8 or values != (0.0, 255.0):
        black, white = values
        scaled = (array.astype(np.float32) - black) * (255 / max(white - black, 1e-12))
        # NaN becomes black.
        array = np.nan_to_num(np.clip(np.round(scaled), 0, 255)).astype(np.uint8)
    return PIL.Image.fromarray(array)


def _leaves(x: Any) -> dict[Any, Any]:
    """Returns the leaves of a sample's input by key; a single leaf has the key `None`."""
    if isinstance(x, Mapping):
        return dict(x)
    if isinstance(x, list | tuple):
        return dict(enumerate(x))
    return {None: x}


def _kind(leaf: Any) -> str | None:
    """Returns the column of a leaf: `image`, `text`, `x`, or `None` if it has no column."""
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
