"""Shows the tables of a W&B run that was logged offline, read back from its artifacts."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from disteval.report.transactions import StoredArtifact, read_artifacts


def full_name(artifact: StoredArtifact) -> str:
    return f"{artifact.name} ({', '.join(sorted(artifact.aliases))})"


def describe(artifact: StoredArtifact) -> Iterator[str]:
    references = set(artifact.references)
    own = [path for path in artifact.files if path not in references]
    yield f"{full_name(artifact)}: {len(own)} files, {len(references)} references"
    for path, file in artifact.files.items():
        if path.endswith(".table.json"):
            yield f"  {path}: {file}"


def format_cell(cell: Any) -> str:
    if isinstance(cell, dict) and "path" in cell:
        return "<image {width}x{height} {path}>".format_map(cell)
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def format_rows(table: dict[str, Any], count: int) -> Iterator[str]:
    rows = [table["columns"], *(map(format_cell, row) for row in table["data"][:count])]
    cells = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="the run's folder, for instance wandb/latest-run")
    parser.add_argument("--rows", type=int, default=10)
    args = parser.parse_args()

    artifacts = read_artifacts(args.run)
    print(f"Tables of {args.run.resolve()}:")
    for artifact in artifacts:
        print(*describe(artifact), sep="\n")
    predictions = [artifact for artifact in artifacts if artifact.name.endswith("_pred")]
    if not predictions:
        sys.exit("No prediction table was logged.")
    last = predictions[-1]
    # The tables that it refers to are in subfolders.
    path = next(p for p in last.files if p.endswith(".table.json") and "/" not in p)
    table = json.loads(last.files[path].read_text())
    print(f"\nThe first of {len(table['data'])} rows of {full_name(last)}:")
    print(*format_rows(table, args.rows), sep="\n")


if __name__ == "__main__":
    main()
