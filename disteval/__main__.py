"""Commands: `python -m disteval upload RUN_DIR`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from disteval.errors import DistEvalError
from disteval.tables.uploads import upload_left


def main() -> int:
    """Runs a command, and returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m disteval")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    upload = commands.add_parser("upload", help="upload the tables that a run could not")
    upload.add_argument("directory", type=Path, help="the run's directory, or one above it")
    upload.set_defaults(run=_upload)
    args = parser.parse_args()
    try:
        return int(args.run(args))
    except DistEvalError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _upload(args: argparse.Namespace) -> int:
    count = upload_left(args.directory)
    sys.stdout.write(f"{count} tables uploaded\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
