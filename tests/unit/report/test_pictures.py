"""Thumbnails, with masks and boxes drawn in."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from disteval.report.pictures import Pictures

PICTURE = {"_type": "image-file", "path": "media/images/a.png"}


def decode(uri: str) -> Image.Image:
    head, _, body = uri.partition(",")
    assert re.fullmatch("data:image/(png|webp);base64", head)
    return Image.open(io.BytesIO(base64.b64decode(body)))


def save(path: Path, array: np.ndarray) -> Path:
    Image.fromarray(array).save(path)
    return path


def test_small_pictures_stay_as_they_are(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.zeros((8, 8), np.uint8))
    pictures = Pictures(10)
    cell = {**PICTURE, "path": "a.png"}
    assert [pictures.add(cell, {"a.png": path}) for _ in range(3)] == [[0]] * 3
    (caption, uri, classes), = pictures.found  # fmt: skip
    assert (caption, classes) == ("", [])
    assert base64.b64decode(uri.partition(",")[2]) == path.read_bytes()


@pytest.mark.parametrize(("expected", "edge"), [(1, 192), (10_000, 54), (10**6, 48)])
def test_large_pictures_shrink(expected: int, edge: int, tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.zeros((400, 200, 3), np.uint8))
    pictures = Pictures(expected)
    pictures.add({**PICTURE, "path": "a.png"}, {"a.png": path})
    assert decode(pictures.found[0][1]).size == (edge // 2, edge)


def test_pictures_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_text("<svg onload='alert()'>")
    pictures = Pictures(1)
    assert pictures.add({**PICTURE, "path": "a.png"}, {"a.png": path}) == [0]
    assert pictures.add({**PICTURE, "path": "b.png"}, {}) == [1]
    assert pictures.add(None, {}) == []
    assert pictures.found == [("", "", []), ("", "", [])]


def test_masks_and_boxes_are_drawn(tmp_path: Path) -> None:
    mask = np.zeros((100, 100), np.uint8)
    mask[:50] = 1
    files = {
        "a.png": save(tmp_path / "a.png", np.full((100, 100, 3), 128, np.uint8)),
        "mask.png": save(tmp_path / "mask.png", mask),
    }
    corners = {"minX": 0.1, "minY": 0.6, "maxX": 0.9, "maxY": 0.9}
    middle = {"middle": [50, 75], "width": 80, "height": 30}
    cell = {
        **PICTURE,
        "path": "a.png",
        "masks": {"ground_truth": {"path": "mask.png"}},
        "boxes": {
            "prediction": [{"position": corners, "class_id": 16}],
            "prediction_2": [{"position": middle, "class_id": 16, "domain": "pixel"}],
        },
    }
    pictures = Pictures(1)
    assert pictures.add(cell, files) == [0, 1, 2]
    captions, uris, classes = zip(*pictures.found, strict=True)
    assert captions == ("ground truth", "prediction", "prediction 2")
    assert classes == ([1], [16], [16])
    masked, boxed, also_boxed = (np.asarray(decode(uri).convert("RGB"), int) for uri in uris)
    green = masked[25, 50] - masked[75, 50]
    assert green[1] > 20 > green[0]
    assert abs(masked[75, 50] - 128).max() < 10, "class 0 is not colored"
    assert boxed[60, 50, 0] > 180 > boxed[75, 50, 0]
    assert abs(boxed - also_boxed).max() < 10, "two ways to say one place"


def test_truth_and_prediction_are_two_pictures_even_if_equal(tmp_path: Path) -> None:
    files = {"a.png": save(tmp_path / "a.png", np.zeros((10, 20), np.uint8))}
    pictures = Pictures(1)
    cell = {**PICTURE, "path": "a.png", "boxes": {"ground_truth": [], "predictions": []}}
    assert pictures.add(cell, files) == pictures.add(cell, files) == [0, 1]
    assert [caption for caption, *_ in pictures.found] == ["ground truth", "predictions"]


def test_small_pictures_with_boxes_are_enlarged(tmp_path: Path) -> None:
    files = {"a.png": save(tmp_path / "a.png", np.zeros((10, 20), np.uint8))}
    position = {"minX": 0.25, "minY": 0.25, "maxX": 0.75, "maxY": 0.75}
    pictures = Pictures(1)
    pictures.add({**PICTURE, "path": "a.png", "boxes": {"a": [{"position": position}]}}, files)
    drawn = np.asarray(decode(pictures.found[0][1]).convert("RGB"), int)
    assert drawn.shape == (70, 140, 3)
    assert (drawn[..., 0] > 128).mean() < 0.1, "lines of two pixels"
