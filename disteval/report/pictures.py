"""Pictures small enough that thousands fit into one page, with their masks and boxes drawn in."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageColor, ImageDraw

# Pixels of all pictures together, which makes pages of some 10 MB at most for photographs.
PIXELS = 30_000_000
SMALLEST, LARGEST = 48, 192
# Formats that browsers can show, so that small files are embedded as they are.
MIME = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif"}
# Smaller pictures are enlarged to about this size before boxes and masks are drawn.
ENLARGED = 144
LINE = 2  # pixels of the outline of a box
# A larger file is no picture to look at.
MAX_BYTES = 100_000_000
# Colors of the classes of masks and boxes, told apart on light and dark pictures: the first of
# Sasha Trubetskoy's list of 20.
COLORS = [
    "#e6194b", "#3cb44b", "#4363d8", "#f58231", "#42d4f4", "#f032e6", "#ffe119", "#bfef45",
    "#469990", "#dcbeff", "#9a6324", "#fabed4", "#aaffc3", "#ffd8b1", "#808000", "#911eb4",
]  # fmt: skip


class Drawing(NamedTuple):
    """A picture, and the masks and boxes to draw into it.

    Attributes:
        path: The picture's file, which W&B names by its content.
        overlay: The name of its masks and boxes, such as ground_truth; empty if it has none.
        mask: The file of the mask.
        boxes: The boxes.
    """

    path: str
    overlay: str
    mask: str | None
    boxes: list[Any]


def drawings(cell: Mapping[str, Any] | None) -> list[Drawing]:
    """Returns the drawings that show a cell: one for each overlay, or the picture alone."""
    if cell is None:
        return []
    masks, boxes = (_mapping(cell.get(layer)) for layer in ("masks", "boxes"))
    return [
        Drawing(cell["path"], name, _mapping(masks.get(name)).get("path"), _boxes(boxes.get(name)))
        for name in sorted({*masks, *boxes}) or [""]
    ]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _boxes(value: Any) -> list[Any]:
    """Returns the boxes that have four finite corners."""
    boxes = [box for box in value if isinstance(box, dict)] if isinstance(value, list) else []
    return [box for box in boxes if _corners(_mapping(box.get("position"))) is not None]


class Pictures:
    """The pictures of a page, each held once.

    Args:
        expected: How many pictures there may be; the more, the smaller they are.

    Attributes:
        found: `(caption, data URI, classes)` of each; the caption is the name of its masks or
            boxes, and the classes are the numbers of those that are drawn.
    """

    def __init__(self, expected: int) -> None:
        edge = math.isqrt(PIXELS // max(expected, 1))
        self._edge = min(max(edge, SMALLEST), LARGEST)
        self._known: dict[str, int] = {}
        self.found: list[tuple[str, str, list[int]]] = []

    def add(self, cell: Mapping[str, Any] | None, files: Mapping[str, Path]) -> list[int]:
        """Returns the numbers of the pictures that show a cell: one for each overlay it has."""
        return [self._add(drawing, files) for drawing in drawings(cell)]

    def _add(self, drawing: Drawing, files: Mapping[str, Path]) -> int:
        key = repr(drawing)
        if key not in self._known:
            self._known[key] = len(self.found)
            path, mask = files.get(drawing.path), files.get(str(drawing.mask or ""))
            uri, classes = self._draw(path, mask, drawing.boxes)
            self.found.append((drawing.overlay.replace("_", " "), uri, classes))
        return self._known[key]

    def _draw(
        self, path: Path | None, mask: Path | None, boxes: list[Any]
    ) -> tuple[str, list[int]]:
        """Returns a data URI, empty if the picture cannot be read, and the drawn classes."""
        drawn = {_class_of(box) for box in boxes}
        if path is None:
            return "", sorted(drawn)
        try:
            if path.stat().st_size > MAX_BYTES:
                return "", sorted(drawn)
            data = path.read_bytes()
            with Image.open(io.BytesIO(data)) as image:
                size = image.size
                if max(size) <= self._edge and image.format in MIME and not (mask or boxes):
                    return _uri(MIME[image.format], data), []
                small = _shrink(image, self._edge)
            if mask is not None or boxes:
                small = _enlarge(small, min(self._edge, ENLARGED))
            if mask is not None:
                with Image.open(mask) as classes:
                    small = _draw_mask(small, classes)
                    drawn |= {*np.unique(np.asarray(classes.convert("L"))).tolist()} - {0}
        except Exception:  # decoders raise whatever a damaged file makes them raise
            return "", sorted(drawn)
        _draw_boxes(small, boxes, size)
        buffer = io.BytesIO()
        small.save(buffer, "WEBP", quality=80)
        return _uri("image/webp", buffer.getvalue()), sorted(drawn)


def _uri(mime: str, data: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def _shrink(image: Image.Image, edge: int) -> Image.Image:
    small = image.convert("RGBA" if image.has_transparency_data else "RGB")
    small.thumbnail((edge, edge))
    return small


def _enlarge(image: Image.Image, edge: int) -> Image.Image:
    factor = max(edge // max(image.size), 1)
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def color_of(number: int) -> str:
    """Returns the color of a class in masks and boxes."""
    return COLORS[number % len(COLORS)]


def _class_of(box: Mapping[str, Any]) -> int:
    number = box.get("class_id", 0)
    return number if isinstance(number, int) else 0


def _draw_mask(image: Image.Image, classes: Image.Image) -> Image.Image:
    """Colors each class but 0, which usually is the background."""
    numbers = np.asarray(classes.convert("L").resize(image.size, Image.Resampling.NEAREST))
    palette = np.array([ImageColor.getrgb(color_of(i)) for i in range(256)], np.uint8)
    colored = Image.fromarray(palette[numbers])
    alpha = Image.fromarray(np.where(numbers > 0, 128, 0).astype(np.uint8))
    return Image.composite(colored, image.convert("RGB"), alpha)


def _draw_boxes(image: Image.Image, boxes: list[Any], original: tuple[int, int]) -> None:
    draw = ImageDraw.Draw(image)
    for box in boxes:
        width, height = original if box.get("domain") == "pixel" else (1, 1)
        corners = _corners(box["position"])
        assert corners is not None  # others are no boxes
        across = np.sort(np.array(corners[::2]) * image.width / width)
        down = np.sort(np.array(corners[1::2]) * image.height / height)
        # A model may predict any numbers. Pillow takes long for a line far outside of the picture.
        left, right = np.clip(across, -LINE, image.width + LINE)
        top, bottom = np.clip(down, -LINE, image.height + LINE)
        draw.rectangle((left, top, right, bottom), outline=color_of(_class_of(box)), width=LINE)


def _corners(position: Mapping[str, Any]) -> tuple[float, float, float, float] | None:
    """Returns left, top, right and bottom of a box; `None` if it has no such numbers."""
    try:
        if "middle" in position:
            (x, y), width, height = position["middle"], position["width"], position["height"]
            corners = x - width / 2, y - height / 2, x + width / 2, y + height / 2
        else:
            corners = position["minX"], position["minY"], position["maxX"], position["maxY"]
        return corners if all(map(math.isfinite, corners)) else None
    except (KeyError, TypeError, ValueError):
        return None
