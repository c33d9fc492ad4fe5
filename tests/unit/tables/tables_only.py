"""A callback with the tables' side alone, without training."""

from __future__ import annotations

from typing import Any

from disteval.tables.best import Monitor
from disteval.tables.callback import TableCallback
from disteval.tables.version import Version

OPTIONS = {
    "reference": "media",
    "is_chief": True,
    "has_peers": False,
    "monitor": Monitor(None),
    "asynchronous": False,
    "waits_for_uploads": False,
    "on_log_error": "warn",
    "partitions": 1,
    "keep_local": False,
}


class Eval(TableCallback):
    """Logs the number of each of three samples, and what is predicted for it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(["index"], ["epoch", "index", "score"], **OPTIONS | options)
        self.publisher = self._publisher

    def add_ground_truth(self, logs: dict[str, float] | None = None) -> None:
        for index in range(3):
            self.data_table.add_data(index)

    def add_model_predictions(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.add_predictions(score=self.predictions)


def version_of(epoch: int, scale: float = 1.0) -> Version:
    """A version whose predictions are known."""
    version = Version.start("epoch", epoch, epoch, 10 * epoch, {"loss": 0.5})
    version.predictions = [scale * index for index in range(3)]
    return version
