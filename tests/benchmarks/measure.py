"""Timers and memory meters for the scripts, and how they send figures to the suite."""

from __future__ import annotations

import contextlib
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

MEGABYTE = 10**6
# Marks output lines that hold a figure; ranks and libraries print other lines.
MARK = "benchmark-result "


def interleaved(
    contenders: Mapping[str, Callable[[], object]],
    repetitions: int,
    *,
    barrier: Callable[[], object] = lambda: None,
    warm_ups: int = 2,
) -> dict[str, list[float]]:
    """Times contenders in turn, A B A B, so that a busy moment of the machine affects them all.

    Args:
        contenders: The functions to time, by name.
        repetitions: How often each contender is timed.
        barrier: Called before each run, outside the timed span, so that ranks start together.
        warm_ups: How often each contender runs untimed first, for tracing and first allocations.

    Returns:
        The seconds of each repetition, by contender.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for repetition in range(-warm_ups, repetitions):
        for name, run in contenders.items():
            barrier()
            started = time.perf_counter()
            run()
            if repetition >= 0:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def ratio(numerator: Sequence[float], denominator: Sequence[float]) -> float:
    """Returns the median ratio of repetitions that ran next to each other."""
    return statistics.median(a / b for a, b in zip(numerator, denominator, strict=True))


def medians(seconds: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Returns the median of each contender."""
    return {name: statistics.median(values) for name, values in seconds.items()}


class PeakMemory:
    """Measures the peak memory of this process in a block, less what it held before, in MB."""

    def __enter__(self) -> PeakMemory:
        # Resets the peak on Linux. Elsewhere, the block must exceed the peak so far to be seen.
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        self._before = _peak()
        return self

    def __exit__(self, *_: object) -> None:
        self.grown = _peak() - self._before


def _peak() -> float:
    with contextlib.suppress(OSError):
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024 / MEGABYTE
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MEGABYTE


def emit(section: str, case: str, what: str, value: float, **details: Any) -> None:
    """Sends a figure to the suite, as a line of output.

    Args:
        section: The part of the suite, such as `inference`.
        case: The measured case, such as `small CNN, batch 32`.
        what: The meaning of the value, such as `model.predict / ours`.
        value: The value.
        details: Data behind the value, such as the median seconds of each contender.
    """
    figure = {"section": section, "case": case, "what": what, "value": value, "details": details}
    # One write, so that the lines of two ranks do not mix.
    sys.stdout.write(f"{MARK}{json.dumps(figure)}\n")
    sys.stdout.flush()


def emitted(output: str) -> list[dict[str, Any]]:
    """Returns the figures in a script's output; launchers may prefix its lines."""
    lines = (line.partition(MARK)[2] for line in output.splitlines())
    return [json.loads(line) for line in lines if line]
