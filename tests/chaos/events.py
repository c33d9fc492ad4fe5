"""Counts what happens in a process of a job, and does what the schedule says at its moment."""

from __future__ import annotations

import collections
import json
import os
import signal
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

from chaos.schedules import INFERENCE, READING, Fault
from multiproc.disks import empty, fill

# What a batch takes longer on a rank that has become slow; ten times as long as without.
SLOW_SECONDS = 0.05


class PlantedError(Exception):
    """What a fault of kind `"raise"` raises."""


def _is_due(fault: Fault, event: str, number: int) -> bool:
    if (fault.event, fault.kind) == (READING, "raise"):
        # TensorFlow reads ahead, and drops what nobody asks for together with its error. So what
        # cannot be read once cannot be read later either, as with a damaged file.
        return event == READING and number >= fault.number
    return (fault.event, fault.number) == (event, number)


class Events:
    """The events of one rank.

    Args:
        faults: Those of the schedule.
        rank: The rank of this process.
        directory: Where each fault that happens is noted.
        disk: The folder that is filled.
    """

    def __init__(
        self, faults: tuple[Fault, ...], rank: int, directory: Path, disk: Path | None
    ) -> None:
        self._faults = {index: fault for index, fault in enumerate(faults) if fault.rank == rank}
        self._directory = directory
        self._disk = disk
        self._counts: collections.Counter[str] = collections.Counter()
        self._lock = threading.Lock()
        self._is_slow = False

    def happen(self, event: str) -> None:
        """Counts an event, and lets the faults of this moment happen."""
        with self._lock:
            number = self._counts[event]
            self._counts[event] += 1
        for index, fault in self._faults.items():
            if _is_due(fault, event, number):
                (self._directory / f"fired-{index}").touch()
                getattr(self, f"_{fault.kind}")(fault)
        if self._is_slow and event == INFERENCE:
            time.sleep(SLOW_SECONDS)

    def _kill(self, fault: Fault) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def _stop(self, fault: Fault) -> None:
        script = f"sleep {fault.amount}; kill -CONT {os.getpid()}"
        subprocess.Popen(["sh", "-c", script], start_new_session=True)
        os.kill(os.getpid(), signal.SIGSTOP)

    def _raise(self, fault: Fault) -> None:
        raise PlantedError("planted fault")

    def _interrupt(self, fault: Fault) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    def _clock(self, fault: Fault) -> None:
        real, offset = time.time, fault.amount
        assert offset is not None
        time.time = lambda: real() + offset

    def _slow(self, fault: Fault) -> None:
        self._is_slow = True

    def _server(self, fault: Fault) -> None:
        url = f"{os.environ['CHAOS_SERVER']}/_faults"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        opener.open(urllib.request.Request(url, json.dumps(fault.plan).encode())).close()

    def _fill(self, fault: Fault) -> None:
        assert self._disk is not None
        fill(self._disk)

    def _empty(self, fault: Fault) -> None:
        assert self._disk is not None
        empty(self._disk)
