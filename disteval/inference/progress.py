"""The progress bar of a long evaluation, on the chief."""

from __future__ import annotations

import sys
import time
from typing import Any

import tensorflow as tf

# Evaluations that take less than this show no bar.
QUIET_SECONDS = 2.0


class Progress:
    """A bar as `keras.utils.Progbar` draws it, with the samples of all replicas.

    Args:
        verbose: `"auto"` for a bar on a terminal, 1 for a bar, 0 for none.
        total: The number of samples; `None` if it is not known.
    """

    def __init__(self, verbose: str | int, total: int | None) -> None:
        self._visible = sys.stdout.isatty() if verbose == "auto" else bool(verbose)
        self._total = total
        self._started = time.monotonic()
        self._bar: Any = None

    def update(self, done: int) -> None:
        """Shows that `done` samples have been evaluated."""
        if not self._visible or time.monotonic() - self._started < QUIET_SECONDS:
            return
        if self._bar is None:
            self._bar = tf.keras.utils.Progbar(self._total, unit_name="sample")
        rate = done / (time.monotonic() - self._started)
        self._bar.update(done, [("samples/s", rate)], finalize=False)

    def close(self, done: int) -> None:
        """Ends the line of the bar, after `done` samples."""
        if self._bar is not None:
            self._bar.update(done, finalize=True)
