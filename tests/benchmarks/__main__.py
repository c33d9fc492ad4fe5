"""Runs the benchmarks, prints one table, and writes JSON and a plot: `bash launch/bench.sh`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import cost, report
from benchmarks.measure import emitted
from benchmarks.plot import plot
from disteval.doctor.gpus import expected_gpus
from multiproc.running import SINGLE, Launch, run

SCRIPTS = Path(__file__).parent / "scripts"
RESULTS = Path(__file__).parent / "results"
# `multiproc.running` gives each process one thread; a script that runs alone gets all cores.
ALL_CORES = {"OMP_NUM_THREADS": "", "TF_NUM_INTRAOP_THREADS": "0", "TF_NUM_INTEROP_THREADS": "0"}
# A simulated device blocks a thread while it computes, and each batch that waits blocks another.
SLEEPERS = {"TF_NUM_INTEROP_THREADS": "128"}


class Job(NamedTuple):
    """A script, and how to launch it."""

    section: str
    script: str
    launch: Launch = SINGLE
    env: dict[str, str] = {}  # noqa: RUF012
    flags: tuple[str, ...] = ()


def jobs(quick: bool, with_peers: bool) -> list[Job]:
    """Returns the jobs in the order in which they run."""
    replicas = (2, 8) if quick else (1, 2, 4, 8)
    return [
        Job("inference", "inference.py", env=ALL_CORES),
        *(Job("scaling", "scaling.py", ("horovod", n), SLEEPERS) for n in replicas),
        *(Job("scaling", "scaling.py", ("mirrored", n), SLEEPERS) for n in replicas),
        Job("scaling", "real_compute.py", ("horovod", 2)),
        *(Job("input", "input.py", ("horovod", n), SLEEPERS) for n in sorted({1, *replicas})),
        Job("gather", "gather.py", ("horovod", 2)),
        *([Job("peers", "gather.py", ("horovod", 2), flags=("--peers",))] * with_peers),
        Job("check", "check_cost.py", ("horovod", 2)),
        Job("logging", "table_logging.py", env=ALL_CORES),
        Job("epoch end", "epoch_end.py", env=ALL_CORES),
        Job("validation", "validation.py", env=ALL_CORES),
        Job("validation", "validation.py", ("mirrored", 2)),
        Job("validation", "validation.py", ("horovod", 2)),
        *(Job("cost", "cost.py", ("horovod", n)) for n in replicas),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="run small cases only, in 3 minutes")
    parser.add_argument("--peers", action="store_true", help="add gathers of other libraries")
    parser.add_argument("--gpu", action="store_true", help="on the GPUs, one for each replica")
    parser.add_argument("--only", action="append", help="one section, such as gather; repeatable")
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    options = [flag for flag in ("quick", "peers", "gpu") if getattr(args, flag)]
    device = {"DISTEVAL_TEST_DEVICE": "GPU"} if args.gpu else {}
    most = expected_gpus() if args.gpu else None
    if most == 0:
        parser.error("--gpu needs NVIDIA GPUs: python -m disteval doctor")

    started, machine = time.monotonic(), report.machine()
    figures: list[dict[str, Any]] = []
    failed = []
    for job in jobs(args.quick, args.peers):
        if args.only and job.section not in args.only:
            continue
        if most is not None and job.launch[1] > most:
            continue
        sys.stderr.write(f"{job.section}: {job.script}, {job.launch[0]} {job.launch[1]}\n")
        flags = [*job.flags, *(["--quick"] if args.quick else [])]
        done = run(
            SCRIPTS / job.script, *flags, launch=job.launch, env=job.env | device, timeout=3600
        )
        if done.returncode:
            sys.stderr.write(f"{job.script} failed:\n{done.stdout}\n")
            failed.append(job.script)
        figures += emitted(done.stdout)  # includes the figures from before a failure
    figures += cost.fits(figures)
    machine |= {"seconds": round(time.monotonic() - started), "options": options}
    machine["load at the end"] = os.getloadavg()[0]

    print(report.table(figures))
    args.output.mkdir(parents=True, exist_ok=True)
    name = "quick" if args.quick else "full"
    content = {"machine": machine, "figures": figures}
    (args.output / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
    plot(figures, args.output / f"{name}.png", machine)
    print(f"\n{machine}\n{args.output / name}.json and .png")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
