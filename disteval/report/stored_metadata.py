"""What a run says of its versions beside their tables, without what cannot be used of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from disteval.errors import DistEvalError
from disteval.tables.run_folder import read_json

logger = logging.getLogger("disteval")

# The entries of a version's metadata that a page uses, with their types.
FIELDS: Mapping[str, Any] = {
    "epoch": int, "step": int, "samples": int, "set": str, "logs": dict, "metrics": dict,
    "slices": list,
}  # fmt: skip


def checked_metadata(metadata: Any) -> dict[str, Any]:
    """Returns the metadata of a version without entries of another type than they should have."""
    if not isinstance(metadata, dict):
        return {}
    known = {
        name: value
        for name, value in metadata.items()
        if name in FIELDS and isinstance(value, FIELDS[name]) and not isinstance(value, bool)
    }
    if "slices" in known:
        known["slices"] = [each for each in known["slices"] if _is_slice(each)]
    return known


def read_confusion(folder: Path, path: Any) -> list[list[Any]]:
    """Returns the rows of a confusion matrix: truth, prediction and count; empty without any.

    Args:
        folder: The folder of the run's files.
        path: The path of the table there; empty if there is none.
    """
    if not isinstance(path, str) or not path:
        return []
    file = folder / path
    if not file.resolve().is_relative_to(folder.resolve()):
        logger.warning("A confusion matrix is left out: %s is outside of the run.", file)
        return []
    try:
        known = read_json(file)
    except FileNotFoundError:
        return []
    except DistEvalError as error:
        logger.warning("A confusion matrix is left out: %s", error)
        return []
    rows = known.get("data") if isinstance(known, dict) else None
    if isinstance(rows, list) and all(map(_is_count, rows)):
        return rows
    logger.warning("A confusion matrix is left out: %s holds no counts.", file)
    return []


def read_class_names(path: Path) -> dict[int, str]:
    """Returns the names of numbered classes from a file of W&B; empty if it is damaged."""
    try:
        return {int(item["id"]): str(item["name"]) for item in read_json(path)["class_set"]}
    except (DistEvalError, KeyError, TypeError, ValueError) as error:
        logger.warning("The names of the classes are left out: %s (%s)", path, error)
        return {}


def _is_count(row: Any) -> bool:
    if not isinstance(row, list) or len(row) != 3:
        return False
    *classes, count = row
    return isinstance(count, int | float) and all(isinstance(each, str | int) for each in classes)


def _is_slice(known: Any) -> bool:
    if not isinstance(known, dict) or not isinstance(known.get("metrics"), dict):
        return False
    named = all(isinstance(known.get(key), str) for key in ("slice", "value"))
    lists = all(isinstance(v, list) and len(v) in (1, 3) for v in known["metrics"].values())
    return named and lists and isinstance(known.get("samples"), int)
