"""When to evaluate, and which version is the best so far."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

from disteval.arguments import check_choice
from disteval.errors import DistEvalError

logger = logging.getLogger("disteval")


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
        whole = isinstance(log_freq, int) and not isinstance(log_freq, bool) and log_freq > 0
        if log_freq != "epoch" and not whole:
            raise DistEvalError(
                f"Invalid `log_freq`. Received: log_freq={log_freq!r}. "
                'Expected: "epoch" or a number of batches.'
            )
        self.by_epoch = log_freq == "epoch"
        self.batches = 0
        self.log_freq = log_freq
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


class Monitor:
    """Finds the best version so far, as `keras.callbacks.ModelCheckpoint` does.

    Args:
        monitor: Name of a value in the logs; `None` for no best version.
        mode: `"min"`, `"max"`, or `"auto"`, which maximizes accuracies, AUC and similar values.
    """

    def __init__(self, monitor: str | None, mode: str = "auto") -> None:
        check_choice("mode", mode, ("auto", "min", "max"))
        if mode == "auto":
            growing = ("acc", "auc", "f1", "fmeasure", "precision", "recall", "iou", "r2")
            mode = "max" if any(part in (monitor or "").lower() for part in growing) else "min"
        self.monitor = monitor
        self._sign = 1 if mode == "max" else -1
        self._best = -math.inf
        self._warned = False

    def is_best(self, logs: Mapping[str, Any]) -> bool:
        """Records the logs of a version, and returns whether they are better than all before."""
        if self.monitor is None:
            return False
        if self.monitor not in logs:
            if not self._warned:
                logger.warning(
                    "monitor=%r is not in the logs, so that no version becomes `best`. Received: "
                    "logs of %s.", self.monitor, ", ".join(logs) or "nothing"
                )  # fmt: skip
                self._warned = True
            return False
        value = self._sign * float(logs[self.monitor])
        better = value > self._best
        self._best = max(value, self._best) if better else self._best
        return better
