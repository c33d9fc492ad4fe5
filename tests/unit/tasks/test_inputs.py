"""Inputs of models as cells of a table."""

from __future__ import annotations

from typing import Any

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
import wandb

from disteval.errors import DataError
from disteval.tables.cells import plain
from disteval.tasks.inputs import MAX_FEATURES, Inputs, picture, value_range

RAMP = np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)
GRAY = np.round(RAMP * 255).astype(np.uint8)


@pytest.mark.parametrize(
    "image",
    [
        GRAY,
        GRAY[..., np.newaxis],
        GRAY.astype(np.int64),
        GRAY.astype(np.float32),
        RAMP,
        RAMP.astype(np.float64)[..., np.newaxis],
        RAMP * 2 - 1,
        RAMP * 7 - 3,
        RAMP * 16,
        GRAY.astype(np.uint16) * 100,
        GRAY.astype(np.int64) - 128,
        np.where(RAMP == 0, np.nan, RAMP),
        tf.constant(RAMP),
    ],
    ids=lambda image: f"{image.dtype}",
)
def test_pictures_have_the_same_pixels_whatever_the_range(image: Any) -> None:
    array = np.asarray(image)
    found = picture(image, value_range([array]))
    assert found.mode == "L"
    assert np.abs(np.asarray(found).astype(int) - GRAY).max() <= 1


def test_colors_and_half_precision() -> None:
    rgb = np.stack([RAMP, RAMP[::-1], RAMP.T], axis=-1)
    expected = np.round(rgb * 255).astype(np.uint8)
    for dtype in (np.float32, np.float16, tf.bfloat16.as_numpy_dtype):
        found = picture(rgb.astype(dtype), (0.0, 1.0))
        assert found.mode == "RGB"
        assert np.abs(np.asarray(found).astype(int) - expected).max() <= 1
    assert picture(np.zeros((4, 4, 4), np.uint8), (0, 255)).mode == "RGBA"
    for mask in (RAMP > 0.5, (RAMP > 0.5).astype(np.uint8)):
        assert np.asarray(picture(mask, value_range([mask]))).max() == 255
    black = np.zeros((4, 4), np.float32)
    for image in (black, black.astype(np.uint8), black * np.nan):
        assert not np.asarray(picture(image, value_range([image]))).any()


def test_one_range_for_all_images() -> None:
    dark = np.full((4, 4), 0.1, np.float32)
    cells = Inputs([dark, RAMP]).cells(dark)
    assert cells["image"].image.getextrema() == (26, 26)
    bright = Inputs([dark, RAMP * 255]).cells(dark)
    assert bright["image"].image.getextrema() == (0, 0)


@pytest.mark.parametrize(
    ("x", "columns"),
    [
        (RAMP, ["image"]),
        (b"some text", ["text"]),
        (np.str_("some text"), ["text"]),
        (np.array(["some text"]), ["text"]),
        (tf.constant([b"some text"]), ["text"]),
        (np.array([b"red", b"round"], object), ["x/0", "x/1"]),
        (np.array({"a": 1}), []),
        (np.float32(3), ["x"]),
        (np.arange(3.0), ["x/0", "x/1", "x/2"]),
        (np.arange(MAX_FEATURES + 1), ["x"]),
        ({"age": np.float32(3), "name": b"a"}, ["x/age", "text/name"]),
        ({"photo": RAMP, "age": np.int64(3)}, ["image/photo", "x/age"]),
        ((RAMP, np.arange(2)), ["image/0", "x/1/0", "x/1/1"]),
        (np.zeros((4, 4, 7)), []),
        (np.zeros((2, 4, 4, 3)), []),
        (tf.ragged.constant([[1], [2, 3]]), []),
    ],
)
def test_columns(x: Any, columns: list[str]) -> None:
    cells = Inputs([x]).cells(x)
    assert list(cells) == columns
    for name, cell in cells.items():
        assert isinstance(cell, wandb.Image) == name.startswith("image")
        assert plain(cell) == "some text" or name != "text"
    assert not Inputs([x], image_key=False).cells(x)


def test_the_image_of_several() -> None:
    x = {"left": RAMP, "right": RAMP[:2]}
    assert list(Inputs([x], "right").cells(x)) == ["image/left", "image"]
    found = Inputs([x], "right").image(x)
    assert isinstance(found, PIL.Image.Image)
    assert found.size == (4, 2)
    with pytest.raises(DataError, match="Received: 2 images in x"):
        Inputs([x]).image(x)
    with pytest.raises(DataError, match="Received: image_key='up'"):
        Inputs([x], "up")
