"""Commands: `python -m disteval doctor`, `upload RUN_DIR` and `report [RUN_DIR]`.

Each imports what it needs, so that the doctor runs where the others cannot.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from disteval import doctor
from disteval.errors import DistEvalError


def main() -> int:
    """Runs a command, and returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m disteval")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    examine = commands.add_parser("doctor", help="say what would run here, and what is in the way")
    examine.add_argument("--json", action="store_true", help="print facts and traps as JSON")
    examine.set_defaults(run=doctor.run)
    upload = commands.add_parser("upload", help="upload the tables that a run could not")
    upload.add_argument("directory", type=Path, help="the run's directory, or one above it")
    upload.set_defaults(run=_upload)
    report = commands.add_parser("report", help="make a page of a run's predictions to look at")
    report.add_argument(
        "directory",
        type=Path,
        nargs="?",
        default=Path("wandb"),
        help="the run's directory, or one above it for the newest run there (default: wandb)",
    )
    report.add_argument("-o", "--output", type=Path, default=Path("report.html"))
    report.add_argument(
        "--rows", type=int, help="of each version at most (default: the 10,000 that W&B shows)"
    )
    report.set_defaults(run=_report)
    args = parser.parse_args()
    try:
        return int(args.run(args))
    except DistEvalError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _upload(args: argparse.Namespace) -> int:
    from disteval.tables.uploads import upload_left

    count = upload_left(args.directory)
    sys.stdout.write(f"{count} tables uploaded\n")
    return 0


def _report(args: argparse.Namespace) -> int:
    from disteval.report import MAX_ROWS, build_report

    rows = MAX_ROWS if args.rows is None else args.rows
    page = build_report(args.directory, args.output, rows)
    sys.stdout.write(f"{page} ({page.stat().st_size / 1e6:.1f} MB)\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
