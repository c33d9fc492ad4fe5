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
from pathlib import Path

from chaos.invariants import broken
from chaos.jobs import can_mount, run_job
from chaos.schedules import Schedule, draw


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", type=float, nargs="?", default=600)
    parser.add_argument("--seed", type=int, help="run only this one")
    args = parser.parse_args()
    end = time.monotonic() + args.seconds
    counts: collections.Counter[str] = collections.Counter()
    failed = []
    while args.seed is not None or time.monotonic() < end:
        schedule = draw(random.randrange(10**6) if args.seed is None else args.seed)
        if schedule.needs_disk and not can_mount():
            continue
        if not run_and_check(schedule, counts):
            failed.append(schedule.seed)
        if args.seed is not None:
            break
    print(dict(counts), f"failed: {failed}", flush=True)
    return bool(failed)


def run_and_check(schedule: Schedule, counts: collections.Counter[str]) -> bool:
    """Runs a schedule, prints what is broken, and returns whether nothing is."""
    directory = Path(tempfile.mkdtemp(prefix="disteval-chaos-"))
    print(f"bash launch/test.sh --chaos --seed {schedule.seed}  # {schedule}", flush=True)
    started = time.monotonic()
    try:
        outcome = run_job(schedule, directory)
    except AssertionError as error:
        lines, output, fired = [str(error)], "", set()
    else:
        lines, output, fired = broken(schedule, outcome), outcome.output, outcome.fired
    counts.update(["jobs", *(schedule.faults[index].kind for index in fired)])
    seconds = time.monotonic() - started
    print(f"  {seconds:.0f} s, fired: {sorted(fired)}", *lines, sep="\n    ", flush=True)
    if lines:
        (directory / "output").write_text(output)
        print(f"  see {directory}", flush=True)
        return False
    shutil.rmtree(directory)
    return True


if __name__ == "__main__":
    sys.exit(main())
