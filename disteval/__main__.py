"""Commands: `python -m disteval doctor`, `upload`, `report`, `compare` and `evaluate`.

Each command imports what it needs when it runs: the doctor needs nothing that may be broken, and
all but `evaluate` start without TensorFlow.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from disteval.doctor import report as doctor
from disteval.doctor.traps import version_of
from disteval.errors import DistEvalError


def main() -> int:
    """Runs the command of `sys.argv`, and returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m disteval")
    parser.add_argument("--version", action="version", version=f"{version_of('disteval')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    examine = commands.add_parser("doctor", help="say what would run here, and what is in the way")
    examine.add_argument("--json", action="store_true", help="print facts and traps as JSON")
    examine.set_defaults(run=doctor.run)
    upload = commands.add_parser("upload", help="upload the tables that a run could not upload")
    upload.add_argument("directory", type=Path, help="the run's directory, or one above it")
    upload.set_defaults(run=_upload)
    report = commands.add_parser("report", help="make a page that shows a run's predictions")
    report.add_argument(
        "directory",
        type=Path,
        nargs="?",
        default=Path("wandb"),
        help="the run's directory, or one above it for the newest run there (default: wandb)",
    )
    report.add_argument("-o", "--output", type=Path, default=Path("report.html"))
    report.add_argument(
        "--rows", type=int, help="rows of each version at most (default: 10,000, as W&B shows)"
    )
    report.set_defaults(run=_report)
    compare = commands.add_parser("compare", help="compare the predictions of two runs")
    compare.add_argument("first", type=Path, metavar="RUN_A", help="the directory of a run")
    compare.add_argument("second", type=Path, metavar="RUN_B", help="that of another run")
    compare.add_argument("--name", help="the name of the set of data (default: without a name)")
    compare.add_argument("-o", "--output", type=Path, help="make a page of the samples that differ")
    compare.add_argument("--json", action="store_true", help="print JSON")
    compare.set_defaults(run=_compare)
    _add_evaluate(commands)
    args = parser.parse_args()
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        return 130  # as a shell says it
    except DistEvalError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _add_evaluate(commands: Any) -> None:
    evaluate = commands.add_parser("evaluate", help="evaluate checkpoints, or those of a folder")
    evaluate.add_argument(
        "factory", help="module:function, which returns a callback, or (callback, build_model)"
    )
    evaluate.add_argument(
        "checkpoints",
        nargs="*",
        metavar="CHECKPOINT",
        help=".keras, .weights.h5, SavedModel, or wandb-artifact://NAME:VERSION",
    )
    evaluate.add_argument(
        "--watch", type=Path, metavar="FOLDER", help="evaluate each new checkpoint in a folder"
    )
    evaluate.add_argument("--until", metavar="NAME", help="with --watch: the last checkpoint")
    evaluate.add_argument(
        "--idle", type=float, metavar="SECONDS", help="with --watch: end if nothing comes so long"
    )
    evaluate.add_argument(
        "--replicas", type=int, help="devices of this process (default: all GPUs)"
    )
    evaluate.add_argument("--backend", default="auto", help="as in DistEvalCallback")
    evaluate.add_argument("--name", help="the name of the W&B run")
    evaluate.add_argument("--group", help="the group of the W&B run, such as that of the training")
    evaluate.add_argument("--json", action="store_true", help="print a line of JSON for each")
    evaluate.set_defaults(run=_evaluate)


def _evaluate(args: argparse.Namespace) -> int:
    from disteval.checkpoints import program

    return program.run(args)


def _upload(args: argparse.Namespace) -> int:
    from disteval.tables.left_behind import upload_left

    count = upload_left(args.directory, lambda text: sys.stdout.write(f"{text}\n"))
    sys.stdout.write(f"{count} tables uploaded\n")
    return 0


def _report(args: argparse.Namespace) -> int:
    from disteval.report.build import MAX_ROWS, build_report

    rows = MAX_ROWS if args.rows is None else args.rows
    page = build_report(args.directory, args.output, rows)
    sys.stdout.write(f"{page} ({page.stat().st_size / 1e6:.1f} MB)\n")
    return 0


def _compare(args: argparse.Namespace) -> int:
    from disteval.report.compare import compare_runs, describe, to_json, write_comparison

    compared = compare_runs(args.first, args.second, args.name)
    text = json.dumps(to_json(*compared)) if args.json else describe(*compared)
    sys.stdout.write(f"{text}\n")
    if args.output is not None:
        page = write_comparison(*compared, args.output)
        if not args.json:
            sys.stdout.write(f"{page} ({page.stat().st_size / 1e6:.1f} MB)\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
