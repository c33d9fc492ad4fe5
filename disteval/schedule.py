"""When to evaluate."""

from __future__ import annotations

import numpy as np

from disteval.errors import DistEvalError


class Schedule:
    """Counts training batches, and says after which of them an evaluation is due.

    Args:
        log_freq: `"epoch"`, or a number of training batches.

    Attributes:
        log_freq: The argument.
        by_epoch: Whether evaluations are due after epochs instead of batches.
        batches: Training batches so far, over all epochs.
    """

    def __init__(self, log_freq: str | int) -> None:
        self.by_epoch = isinstance(log_freq, str) and log_freq == "epoch"
        whole = isinstance(log_freq, int | np.integer) and not isinstance(log_freq, bool)
        if not self.by_epoch and not (whole and int(log_freq) > 0):
            raise DistEvalError(
                f"Invalid `log_freq`. Received: log_freq={log_freq!r}. "
                'Expected: "epoch" or a number of batches.'
            )
        self.batches = 0
        self.log_freq: str | int = "epoch" if self.by_epoch else int(log_freq)
        self._in_epoch = 0
        self._since = 0

    def resume(self, batches: int) -> None:
        """Sets how many batches the model was trained on before."""
        self.batches = batches
        self._since = 0 if self.by_epoch else batches % int(self.log_freq)

    def start_epoch(self) -> None:
        """Records that batches are numbered from 0 again."""
        self._in_epoch = 0

    def is_due(self, batch: int) -> bool:
        """Records the end of a batch, and returns whether an evaluation is due after it.

        With `steps_per_execution`, Keras reports only the last of several batches.
        """
        if batch < self._in_epoch:  # an epoch has begun without a call of `start_epoch`
            self._in_epoch = 0
        passed = batch + 1 - self._in_epoch
        self._in_epoch = batch + 1
        self.batches += passed
        self._since += passed
        if self.by_epoch or self._since < int(self.log_freq):
            return False
        self._since = 0
        return True
