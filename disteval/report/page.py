"""From versions to the page: the data that its script works on, and the HTML around it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from disteval.report import columns as roles
from disteval.report.html import HERE, render_page
from disteval.report.pictures import Pictures, color_of, drawings
from disteval.report.read import Run, StoredVersion
from disteval.report.slices import encode_slices, slice_names
from disteval.report.stored_metadata import read_class_names
from disteval.tables.history import COLUMNS as HISTORY

# Each imports only from earlier ones.
SCRIPTS = ("text.js", "elements.js", "data.js", "axes.js", "map.js", "rows.js", "classes.js",
           "charts.js", "slices.js", "timeline.js", "differences.js", "samples.js",
           "page.js")  # fmt: skip
# The column of what the version before predicted.
PREVIOUS = HISTORY[0]
# Imports, which may span lines, and the keyword of exports: a single script needs neither.
MODULE_SYNTAX = re.compile(r"^import [^;]*;\n|^export (?=\w)", re.MULTILINE)


class PageData:
    """The data of a page. Columns and pictures that versions share are stored once.

    Args:
        versions: The versions, in order.
        rows: How many rows of each to show at most.
    """

    def __init__(self, versions: Sequence[StoredVersion], rows: int) -> None:
        self._columns: dict[str, int] = {}
        self._used: set[str] = set()  # names of classes
        self._rows = rows
        found = [roles.recognise(version.columns) for version in versions]
        self._class_names = _class_names(versions, found)
        self._pictures = Pictures(_count_pictures(versions, found, rows))
        pairs = zip(versions, found, strict=True)
        self.versions = [self._encode_version(version, named) for version, named in pairs]

    def json(self) -> dict[str, Any]:
        """Returns what goes into the page; classes are numbered in their natural order."""
        drawn = sorted({number for *_, numbers in self._pictures.found for number in numbers})
        names = {number: self._named(number) for number in drawn}
        order = sorted(self._used, key=_natural)
        place = {name: i for i, name in enumerate(order)}
        columns = [json.loads(column) for column in self._columns]
        for column in columns:
            if column["kind"] == "class":
                column["values"] = [place.get(name) for name in column["values"]]
            elif column["kind"] == "classes":
                column["values"] = [_each(place.__getitem__, v) for v in column["values"]]
        versions = [
            version | {"confusion": [[place[t], place[p], n] for t, p, n in version["confusion"]]}
            for version in self.versions
        ]
        return {
            "classes": order,
            "colors": {place[names[number]]: color_of(number) for number in drawn},
            "pictures": [
                [caption, uri, [place[names[number]] for number in numbers]]
                for caption, uri, numbers in self._pictures.found
            ],
            "columns": columns,
            "history": list(HISTORY),
            "versions": versions,
        }

    def _encode_version(self, version: StoredVersion, named: Mapping[str, str]) -> dict[str, Any]:
        # With a reference, a prediction is free text.
        told_apart = () if "reference" in named else ("truth", "prediction")
        by_class = {named[role] for role in told_apart if role in named}
        told = [version.columns[name] for name in by_class]
        single, several = roles.are_classes(*told), roles.are_class_lists(*told)
        if by_class:
            by_class.add(PREVIOUS)
        encoded = {}
        for name, column in version.columns.items():
            cells = column[: self._rows]
            if name == named.get("picture"):
                pictures = [self._pictures.add(cell, version.files) for cell in cells]
                value: dict[str, Any] = {"kind": "picture", "values": pictures}
            elif name in by_class and single:
                names = [None if cell is None else self._named(cell) for cell in cells]
                value = {"kind": "class", "values": names}
            elif name in by_class and several:
                value = {"kind": "classes", "values": [_each(self._named, c) for c in cells]}
            else:
                is_compared = name in (named.get("reference"), named.get("prediction"))
                value = roles.encode(cells, roles.MAX_COMPARED if is_compared else roles.MAX_TEXT)
            encoded[name] = self._columns.setdefault(json.dumps(value), len(self._columns))
        num_rows = len(next(iter(version.columns.values()), []))
        return {
            "epoch": version.metadata.get("epoch"),
            "step": version.metadata.get("step"),
            "part": version.part,
            "set": version.names.name or "",
            "best": "best" in version.aliases,
            "rows": min(num_rows, self._rows),
            "samples": version.metadata.get("samples"),
            "columns": encoded,
            "roles": dict(named),
            "metrics": _metrics(version),
            "slices": encode_slices(version),
            "confusion": self._confusion(version) if single else [],
        }

    def _confusion(self, version: StoredVersion) -> list[list[Any]]:
        """Returns the pairs of classes that occur; empty if the table holds all samples."""
        num_rows = len(next(iter(version.columns.values()), []))
        if num_rows >= version.metadata.get("samples", 0):
            return []
        return [
            [self._named(true), self._named(found), count]
            for true, found, count in version.confusion
            if count
        ]

    def _named(self, cell: Any) -> str:
        name = roles.class_name(cell, self._class_names)
        self._used.add(name)
        return name


def render(run: Run, rows: int) -> str:
    """Returns the page of a run.

    Args:
        run: The run.
        rows: How many rows of each version to show at most.

    Raises:
        DistEvalError: Jinja2 is not installed.
    """
    num_rows = max(len(next(iter(v.columns.values()), [])) for v in run.versions)
    return render_page(
        "template.html",
        style=(HERE / "page.css").read_text(),
        script=bundle([(HERE / name).read_text() for name in SCRIPTS]),
        data=PageData(run.versions, rows).json(),
        run=run,
        num_rows=num_rows,
        shown_rows=min(num_rows, rows),
    )


def bundle(modules: Iterable[str]) -> str:
    """Returns JavaScript modules as one script, for a page that may not load any files.

    Args:
        modules: The text of each, in an order in which each imports only from earlier ones.
    """
    return "\n".join(MODULE_SYNTAX.sub("", module) for module in modules)


def _metrics(version: StoredVersion) -> dict[str, float]:
    """Returns the metrics that charts show: Keras' logs, and the scalars of `eval/`."""
    # The metadata keeps the order in which metrics were computed; the history does not.
    known = [f"eval/{name}" for name in version.metadata.get("metrics", {})]
    others = sorted(version.scalars.keys() - known)
    own = {name: version.scalars[name] for name in [*known, *others] if name in version.scalars}
    values = {**version.metadata.get("logs", {}), **own}
    of_slices = slice_names(version)
    return {
        name: float(f"{value:.6g}")
        for name, value in values.items()
        if roles.is_number(value) and math.isfinite(value) and name not in of_slices
    }


def _count_pictures(
    versions: Iterable[StoredVersion], found: Iterable[Mapping[str, str]], rows: int
) -> int:
    known = set()
    for version, named in zip(versions, found, strict=True):
        cells = version.columns.get(named.get("picture", ""), [])[:rows]
        known |= {repr(drawing) for cell in cells for drawing in drawings(cell)}
    return len(known)


def _class_names(
    versions: Iterable[StoredVersion], found: Iterable[Mapping[str, str]]
) -> dict[int, str]:
    """Returns the names of numbered classes, from the `wandb.Classes` of the pictures."""
    for version, named in zip(versions, found, strict=True):
        for cell in version.columns.get(named.get("picture", ""), []):
            path = version.files.get((cell or {}).get("classes", {}).get("path", ""))
            if path is not None and path.exists():
                return read_class_names(path)
    return {}


def _each(function: Callable[[Any], Any], cell: list[Any] | None) -> list[Any] | None:
    """Applies a function to each class in a cell; `None` for an empty cell."""
    return None if cell is None else [function(item) for item in cell]


def _natural(name: str) -> tuple[bool, float, str]:
    """Sorts numbers by their value, before text."""
    is_number = name.isascii() and name.isdigit()
    return not is_number, float(name) if is_number else 0.0, name
