"""Shows the tables of a W&B run that was logged offline, read back from its artifacts.

W&B has no public way to read an artifact before it is synced. So this reads the file that
`wandb sync` would send: LevelDB's log format around the protobuf messages of `wandb.proto`, which
is private to W&B and may change with any version.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

FILE_HEADER = 7
BLOCK = 32768
RECORD_HEADER = struct.Struct("<IHB")  # checksum, length, kind
WHOLE, LAST = 1, 4  # the kinds that end a record; the others are its first and middle parts


def read_records(path: Path) -> Iterator[bytes]:
    data = path.read_bytes()
    position, record = FILE_HEADER, b""
    while position < len(data):
        rest_of_block = BLOCK - position % BLOCK
        if rest_of_block < RECORD_HEADER.size:  # filled with zeros
            position += rest_of_block
            continue
        _, length, kind = RECORD_HEADER.unpack_from(data, position)
        position += RECORD_HEADER.size
        record += data[position : position + length]
        position += length
        if kind in (WHOLE, LAST):
            yield record
            record = b""


def read_artifacts(run_directory: Path) -> list[Any]:
    """The artifacts of a run, in the order in which they were logged."""
    artifacts = []
    for path in run_directory.glob("*.wandb"):
        for data in read_records(path):
            record = wandb_internal_pb2.Record.FromString(data)
            if record.HasField("artifact"):
                artifacts.append(record.artifact)
    return artifacts


def full_name(artifact: Any) -> str:
    return f"{artifact.name} ({', '.join(sorted(artifact.aliases))})"


def describe(artifact: Any) -> Iterator[str]:
    entries = artifact.manifest.contents
    references = sum(bool(entry.ref) for entry in entries)
    files = len(entries) - references
    yield f"{full_name(artifact)}: {files} files, {references} references"
    for entry in entries:
        if entry.path.endswith(".table.json"):
            yield f"  {entry.path}: {entry.local_path or entry.ref}"


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
    paths = [e.local_path for e in last.manifest.contents if e.path.endswith(".table.json")]
    table = json.loads(Path(paths[0]).read_text())
    print(f"\nThe first of {len(table['data'])} rows of {full_name(last)}:")
    print(*format_rows(table, args.rows), sep="\n")


if __name__ == "__main__":
    main()
