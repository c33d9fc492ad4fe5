"""Which version of a run is the best so far."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from typing import Any

import wandb

from disteval.arguments import check_choice
from disteval.errors import DistEvalError
from disteval.tables.run_folder import find_newest, own_folder, read_json, write_json
from disteval.tables.sets import UNNAMED, SetName

logger = logging.getLogger("disteval")

# In the folder `disteval` of a run's directory.
FILE = "best.json"

# Parts of the names of values that `mode="auto"` maximizes, as Keras does, and whole names: `ap` is
# also a part of `mape`, which is an error.
GROWING = ("acc", "auc", "f1", "fmeasure", "precision", "recall", "iou", "r2")
GROWING_NAMES = re.compile(r"(val_|eval/)?(ap|ap50|ap75|ar|dice|map)(/.*)?", re.IGNORECASE)


def grows(name: str) -> bool:
    """Whether a metric is the better, the higher it is, by its name."""
    name = name.lower()
    return any(part in name for part in GROWING) or GROWING_NAMES.fullmatch(name) is not None


class Monitor:
    """Finds the best version so far, as `keras.callbacks.ModelCheckpoint` does.

    The best value is remembered with the run, so that a callback that goes on in the run, after a
    second `fit` or a resume, knows it: in the summary of the run, and in a file beside it, since
    an offline run has no summary to read.

    Args:
        monitor: Name of a value in the logs, or of a metric that the hooks add; `None` for no best
            version.
        mode: `"min"`, `"max"`, or `"auto"`, which maximizes accuracies, AUC and similar values.
        names: The name of the set.

    Raises:
        DistEvalError: An argument is invalid.
    """

    def __init__(
        self,
        monitor: str | None,
        mode: str = "auto",
        names: SetName = UNNAMED,
    ) -> None:
        if monitor is not None and not isinstance(monitor, str):
            raise DistEvalError(
                f"`monitor` is not a name. Received: monitor={monitor!r}. Expected: the name of a "
                'value in the logs, such as "val_loss", or None.'
            )
        check_choice("mode", mode, ("auto", "min", "max"))
        if mode == "auto":
            mode = "max" if grows(monitor or "") else "min"
        self.monitor = monitor
        self._names = names
        self._sign = 1 if mode == "max" else -1
        self._best = -math.inf
        self._warned = False

    def begin(self, run: wandb.Run) -> None:
        """Reads the best value that a run remembers."""
        if self.monitor is None:
            return
        value = run.summary.get(self._key)
        if not isinstance(value, int | float):
            value = _read(run).get(self._names.artifact(self.monitor))
        self._best = -math.inf if value is None else self._sign * float(value)

    def is_best(self, logs: Mapping[str, Any], metrics: Mapping[str, Any]) -> bool:
        """Records the values of a version, and returns whether it is better than all before.

        Args:
            logs: The logs of the epoch.
            metrics: What the hooks added.
        """
        if self.monitor is None:
            return False
        value = self._find(logs, metrics)
        if value is None:
            self._warn(logs, metrics)
            return False
        if not self._sign * float(value) > self._best:  # NaN is never better
            return False
        self._best = self._sign * float(value)
        return True

    def remember(self, run: wandb.Run) -> None:
        """Writes down the best value with the run."""
        best = self._sign * self._best
        run.summary[self._key] = best
        write_json(
            own_folder(run) / FILE, _read(run) | {self._names.artifact(str(self.monitor)): best}
        )

    @property
    def _key(self) -> str:
        return self._names.value(f"best/{self._metric}")

    @property
    def _metric(self) -> str:
        """The name of the value among the metrics of the set."""
        return (self.monitor or "").removeprefix(self._names.prefix).removeprefix("eval/")

    def _find(self, logs: Mapping[str, Any], metrics: Mapping[str, Any]) -> Any:
        assert self.monitor is not None
        if self.monitor in logs:
            return logs[self.monitor]
        # Papers and libraries write AP and F1, and this package ap and f1.
        by_name = {name.lower(): value for name, value in metrics.items()}
        value = by_name.get(self._metric.lower())
        return value if isinstance(value, int | float) else None

    def _warn(self, logs: Mapping[str, Any], metrics: Mapping[str, Any]) -> None:
        if not self._warned:
            self._warned = True
            numbers = [name for name in metrics if isinstance(metrics[name], int | float)]
            logger.warning(
                "monitor=%r is not in the logs, so that no version becomes `best`. Received: "
                "%s.", self.monitor, ", ".join([*logs, *numbers]) or "nothing"
            )  # fmt: skip


def _read(run: wandb.Run) -> dict[str, float]:
    """Returns the best values that the newest directory of a run has, by name."""
    path = find_newest(run, FILE)
    if path is None:
        return {}
    try:
        return {name: float(v) for name, v in read_json(path).items()}
    except (DistEvalError, ValueError, TypeError, AttributeError) as error:
        logger.warning("%s is damaged, and ignored (%s).", path, error)
        return {}
