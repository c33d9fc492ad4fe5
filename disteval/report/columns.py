"""Which column of a table is what, and its values in a form that a page can hold.

A column is recognised by its values and by the words of its name, so that tables of any
`WandbEvalCallback` will do: `predicted_class` and `predictedClass` both hold the word `predicted`.
Of several columns that hold one of the words of a role, the one with the earliest word in the list
is taken, then the first. Each column has one role at most, given out in the order of `ROLES`.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from disteval.tables.history import COLUMNS as HISTORY

# A column with one of these words counts boxes: `true_positives` is not the truth.
COUNTS = {"positives", "negatives"}
MAX_TEXT = 300
# Of a text whose differences to its reference are shown.
MAX_COMPARED = 2000
# With more, a column holds free text or identifiers.
MAX_CLASSES = 2000
NO_RANK = 1000


def is_picture(cell: Any) -> bool:
    """Whether a cell is a `wandb.Image`."""
    is_image = isinstance(cell, dict) and cell.get("_type") == "image-file"
    return is_image and isinstance(cell.get("path"), str)


def is_number(cell: Any) -> bool:
    """Whether a cell is a number, but not a bool."""
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def is_bool(cell: Any) -> bool:
    """Whether a cell is a bool."""
    return isinstance(cell, bool)


def is_text(cell: Any) -> bool:
    """Whether a cell is text."""
    return isinstance(cell, str)


def is_scalar(cell: Any) -> bool:
    """Whether a cell is text, a number or a bool."""
    return isinstance(cell, str | int | float)


def is_plain(cell: Any) -> bool:
    """Whether a cell is a scalar or a list, such as the classes of a multi-label sample."""
    return is_scalar(cell) or isinstance(cell, list)


@dataclasses.dataclass(frozen=True)
class Role:
    """What a column may hold.

    Attributes:
        fits: Whether a cell can be in such a column. All cells but empty ones have to fit.
        words: Words of its name, the most certain first. Without words, any name fits.
    """

    fits: Callable[[Any], bool]
    words: tuple[str, ...] = ()


ROLES: dict[str, Role] = {
    "picture": Role(is_picture),
    "correct": Role(is_bool, ("correct", "right", "match")),
    "confidence": Role(is_number, ("confidence", "probability", "prob", "score", "certainty")),
    "loss": Role(is_number, ("loss", "error", "residual")),
    "prediction": Role(is_plain, ("prediction", "predicted", "pred", "guess", "output")),
    "reference": Role(is_text, ("reference",)),
    "truth": Role(
        is_plain, ("truth", "label", "target", "actual", "true", "gt", "class", "category", "y")
    ),
    "key": Role(is_scalar, ("index", "idx", "id", "key", "row")),
}


def recognise(columns: Mapping[str, Sequence[Any]]) -> dict[str, str]:
    """Returns the name of the column that was found for each role."""
    free = {name: _words(name) for name in columns if name not in HISTORY}
    found: dict[str, str] = {}
    for name_of_role, role in ROLES.items():
        ranks = {name: _rank(role, words) for name, words in free.items()}
        for name in sorted(free, key=lambda name: ranks[name]):
            column = columns[name]
            if ranks[name] == NO_RANK or not _all_fit(role, column):
                continue
            if name_of_role == "key" and len(set(column)) < len(column):
                continue
            found[name_of_role] = name
            del free[name]
            break
    return found


def _words(name: str) -> list[str]:
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return re.findall(r"[a-z]+", parted.lower())


def _rank(role: Role, words: Sequence[str]) -> int:
    if not role.words:
        return 0
    if COUNTS.intersection(words):
        return NO_RANK
    return min((role.words.index(word) for word in words if word in role.words), default=NO_RANK)


def _all_fit(role: Role, column: Sequence[Any]) -> bool:
    cells = [cell for cell in column if cell is not None]
    return bool(cells) and all(map(role.fits, cells))


def are_classes(*columns: Sequence[Any]) -> bool:
    """Whether columns hold classes: text, bools or whole numbers, and not too many of them."""
    cells = [cell for column in columns for cell in column if cell is not None]
    return (
        all(
            isinstance(cell, str | int) or (isinstance(cell, float) and cell.is_integer())
            for cell in cells
        )
        and len(set(cells)) <= MAX_CLASSES
    )


def are_class_lists(*columns: Sequence[Any]) -> bool:
    """Whether each cell is a list of classes, as for multi-label samples."""
    cells = [cell for column in columns for cell in column if cell is not None]
    if not all(isinstance(cell, list) for cell in cells):
        return False
    names = [name for cell in cells for name in cell]
    return all(isinstance(name, str | int) for name in names) and 0 < len(set(names)) <= MAX_CLASSES


def class_name(cell: Any, names: Mapping[int, str]) -> str:
    """Returns the name of a class, or its number as text if it has no name.

    Args:
        cell: Text, which is the name, a whole number or a bool.
        names: Names of the numbers, as in the `wandb.Classes` of the pictures.
    """
    if isinstance(cell, str | bool):
        return str(cell)
    return names.get(int(cell), str(int(cell)))


def encode(column: Sequence[Any], max_text: int = MAX_TEXT) -> dict[str, Any]:
    """Returns the values of a column in a form that JSON can hold, and their `kind`.

    The kind is `number`, `text` (also of bools), or `nested` if there are lists or media.

    Args:
        column: The cells.
        max_text: Characters of a text at most.
    """
    if _all_fit(Role(is_number), column):
        return {"kind": "number", "values": [_number(cell) for cell in column]}
    kind = "text" if all(cell is None or is_scalar(cell) for cell in column) else "nested"
    return {"kind": kind, "values": [None if c is None else _text(c, max_text) for c in column]}


def _number(cell: Any) -> Any:
    if not isinstance(cell, float):
        return cell
    # JSON has no NaN; JavaScript's Number() reads these words.
    if math.isnan(cell):
        return "NaN"
    if math.isinf(cell):
        return "Infinity" if cell > 0 else "-Infinity"
    return float(f"{cell:.5g}")


def _text(cell: Any, max_text: int) -> str:
    if isinstance(cell, str):
        text = cell
    elif isinstance(cell, dict) and "_type" in cell:
        text = str(cell.get("path", cell["_type"]))
    elif isinstance(cell, list):
        text = ", ".join(str(_number(item)) if is_number(item) else str(item) for item in cell)
    else:
        text = str(cell) if isinstance(cell, bool) else json.dumps(cell)
    return text if len(text) <= max_text else text[: max_text - 1] + "…"
