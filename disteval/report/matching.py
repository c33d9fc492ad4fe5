"""Which rows of two tables are of the same sample: told by the data, not by their place alone."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from disteval.errors import DistEvalError
from disteval.report import columns as roles
from disteval.report.read import StoredVersion

# Columns that do not describe a sample.
COUNTED = ("index", "epoch", "step")


def match_rows(first: StoredVersion, second: StoredVersion) -> list[tuple[int, int]]:
    """Returns the pairs of rows that are of one sample, in the order of the first table.

    Rows match if they have the same index, or without an index the same place, and the same
    ground truth. Other rows match if their ground truth occurs only once in each table.

    Raises:
        DistEvalError: A sample has other data in the second table, or no sample is in both.
    """
    described = sorted((_truth(first).keys() & _truth(second).keys()) - set(COUNTED))
    if not described:
        raise DistEvalError(
            "There is nothing to tell samples by. Received: ground-truth tables of "
            f"{list(_truth(first))} and {list(_truth(second))}. Expected: a column in both, such "
            "as image or label."
        )
    digests = [_digests(version, described) for version in (first, second)]
    keys = [_keys(version) for version in (first, second)]
    places = {key: row for row, key in enumerate(keys[1])}
    counts = [Counter(each) for each in digests]
    by_digest = {digest: row for row, digest in enumerate(digests[1])}
    pairs, others = [], []
    for row, (key, digest) in enumerate(zip(keys[0], digests[0], strict=True)):
        there = places.get(key)
        if there is not None and digests[1][there] == digest:
            pairs.append((row, there))
        elif counts[0][digest] == counts[1][digest] == 1:
            pairs.append((row, by_digest[digest]))
        elif there is not None:
            others.append((row, there))
    if others:
        raise _other_data(first, second, described, others[0])
    if not pairs:
        raise DistEvalError(
            "The runs have no sample in common. Received: tables of "
            f"{len(keys[0])} and {len(keys[1])} samples. Expected: runs on the same validation "
            "data, whose tables show some samples in common."
        )
    return pairs


def _truth(version: StoredVersion) -> dict[str, list[Any]]:
    """Returns the columns that describe the samples."""
    if version.truth:
        return dict(version.truth)
    # A table of chosen rows holds the ground truth itself.
    named = roles.recognise(version.columns)
    kept = [named[role] for role in ("picture", "truth", "key") if role in named]
    return {name: version.columns[name] for name in kept}


def _keys(version: StoredVersion) -> Sequence[Any]:
    """Returns the index of each row; without an index, its place."""
    truth = _truth(version)
    rows = len(next(iter(version.columns.values()), []))
    key = roles.recognise(truth).get("key") if truth else None
    return truth[key] if key is not None else range(rows)


def _digests(version: StoredVersion, names: Sequence[str]) -> list[str]:
    """Returns what identifies the ground truth of each row."""
    truth = _truth(version)
    rows = zip(*(truth[name] for name in names), strict=True)
    texts = (json.dumps([_content(cell) for cell in row], sort_keys=True) for row in rows)
    return [hashlib.blake2b(text.encode(), digest_size=16).hexdigest() for text in texts]


def _content(cell: Any) -> Any:
    """Returns what a cell holds; of media the digest, since paths are those of a run."""
    if isinstance(cell, dict):
        if "sha256" in cell:
            kept = {name: cell[name] for name in ("masks", "boxes") if name in cell}
            return {"sha256": cell["sha256"], **_content(kept)}
        return {name: _content(value) for name, value in cell.items() if name != "path"}
    return [_content(value) for value in cell] if isinstance(cell, list) else cell


def _other_data(
    first: StoredVersion, second: StoredVersion, names: Sequence[str], rows: tuple[int, int]
) -> DistEvalError:
    truth = [_truth(first), _truth(second)]
    cells = [{n: t[n][row] for n in names} for t, row in zip(truth, rows, strict=True)]
    differ = next(n for n in names if _content(cells[0][n]) != _content(cells[1][n]))
    given = [roles.encode([each[differ]])["values"][0] for each in cells]
    return DistEvalError(
        f"The runs were evaluated on other data. Received: in the column {differ!r} of sample "
        f"{_keys(first)[rows[0]]}, {given[0]!r} in the first run and {given[1]!r} in the second. "
        "Expected: the same validation data, so that each prediction has a counterpart."
    )
