"""Runs random schedules for so many seconds, or the one of a seed: `bash launch/test.sh --chaos`.

Each schedule is printed with the command that repeats it. A job that breaks an invariant leaves its
directory, and makes the exit status 1.
"""

from __future__ import annotations

import argparse
import collections
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from chaos.invariants import broken
from chaos.jobs import run_job
from chaos.schedules import Schedule, draw
from multiproc.disks import can_mount


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", type=float, nargs="?", default=600)
    parser.add_argument("--seed", type=int, help="run only this one")
    args = parser.parse_args()
    counts: collections.Counter[str] = collections.Counter()
    failed = []
    for seed in seeds(args.seconds) if args.seed is None else [args.seed]:
        schedule = draw(seed)
        if schedule.needs_disk and not can_mount():
            print(f"seed {seed} is left out: mounting a small disk needs root")
        elif not run_and_check(schedule, counts):
            failed.append(seed)
    print(dict(counts), f"failed: {failed}", flush=True)
    return bool(failed)


def seeds(seconds: float) -> Iterator[int]:
    """Yields random seeds for so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield random.randrange(10**6)


def run_and_check(schedule: Schedule, counts: collections.Counter[str]) -> bool:
    """Runs a schedule, prints what is broken, and returns whether nothing is."""
    directory = Path(tempfile.mkdtemp(prefix="disteval-chaos-"))
    print(f"bash launch/test.sh --chaos --seed {schedule.seed}  # {schedule}", flush=True)
    started = time.monotonic()
    try:
        outcome = run_job(schedule, directory)
    except AssertionError as error:
        outcome, lines = None, [str(error)]
    else:
        lines = broken(schedule, outcome)
    fired = outcome.fired if outcome else set()
    counts.update(["jobs", *(schedule.faults[index].kind for index in fired)])
    seconds = time.monotonic() - started
    print(f"  {seconds:.0f} s, fired: {sorted(fired)}", *lines, sep="\n    ", flush=True)
    if lines:
        (directory / "output").write_text(outcome.output if outcome else "")
        print(f"  see {directory}", flush=True)
        return False
    shutil.rmtree(directory)
    return True


if __name__ == "__main__":
    sys.exit(main())
