"""`Version`: what one evaluation logs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from disteval.backends.base import Backend
from disteval.inference import receipts
from disteval.inference.evaluation import Evaluation
from disteval.inference.receipts import Receipt
from disteval.tables.sets import UNNAMED, SetName

# Longer receipts are too large for the metadata.
MAX_RECEIPT = 16


@dataclasses.dataclass
class Version:
    """What one evaluation logs: a snapshot for the hooks, which training does not change.

    Attributes:
        epoch: The epoch that is being trained, or has just ended.
        logs: A copy of the logs that Keras passed to the callback, and the metrics of the
            validation data.
        aliases: Aliases of the artifact.
        metadata: Metadata of the artifact.
        predictions: On the chief, the nest of arrays.
        metrics: Values for `run.log` that the hooks added.
        assessment: What was computed of the predictions before the hooks run.
        names: The name of the set that was evaluated.
    """

    epoch: int = 0
    logs: dict[str, Any] = dataclasses.field(default_factory=dict)
    aliases: list[str] = dataclasses.field(default_factory=list)
    metadata: dict[str, Any] = dataclasses.field(default_factory=dict)
    predictions: Any = None
    metrics: dict[str, Any] = dataclasses.field(default_factory=dict)
    assessment: Any = None
    names: SetName = UNNAMED

    @classmethod
    def start(
        cls,
        unit: str,
        number: int,
        epoch: int,
        step: int,
        logs: dict[str, Any] | None,
        names: SetName = UNNAMED,
    ) -> Version:
        """Returns the version of an evaluation that is about to run, such as `"epoch"` 3."""
        logs = dict(logs or {})
        metadata = {"epoch": epoch, "step": step, "logs": dict(logs)}
        if names.name is not None:
            metadata["set"] = names.name
        return cls(epoch, logs, ["latest", f"{unit}_{number}"], metadata, names=names)

    def add(self, evaluation: Evaluation, backend: Backend) -> None:
        """Adds the outcome of the evaluation."""
        self.predictions = evaluation.predictions
        self.metadata |= {
            "replicas": backend.num_replicas,
            "samples": evaluation.num_samples,
            "bytes": evaluation.num_bytes,
            "seconds": {
                **{phase: round(value, 6) for phase, value in evaluation.seconds.items()},
                "input": [round(value, 6) for value in evaluation.input_seconds],  # of each rank
            },
            "receipts": [_short(receipt) for receipt in evaluation.receipts],
        }

    def add_logs(self, values: Mapping[str, Any]) -> None:
        """Adds metrics of the validation data to the logs, unless they are there already."""
        for name, value in values.items():
            self.logs.setdefault(name, value)
            if isinstance(value, float):  # an array may be too large for the metadata
                self.metadata["logs"].setdefault(name, value)

    def add_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Adds values for `run.log`; finite numbers become metadata as well."""
        self.metrics |= metrics
        numbers = self.metadata.setdefault("metrics", {})
        for name, value in metrics.items():
            if isinstance(value, int | float) and math.isfinite(value):  # JSON has no NaN
                numbers[name] = value

    def scalars(self) -> dict[str, Any]:
        """Returns the values for `run.log`; empty without metrics and inference."""
        metrics = {self.names.value(name): value for name, value in self.metrics.items()}
        seconds = self.metadata.get("seconds", {})
        if "inference" not in seconds:
            return {"eval/epoch": self.epoch, **metrics} if metrics else {}
        total = seconds["inference"] + seconds["gather"]
        # An evaluation lasts as long as that of the slowest rank.
        seconds = seconds | {"input": max(seconds["input"])}
        return {
            "eval/epoch": self.epoch,
            self.names.value("samples_per_sec"): self.metadata["samples"] / max(total, 1e-9),
            **{self.names.value(f"seconds_{phase}"): value for phase, value in seconds.items()},
            **metrics,
        }


def _short(receipt: Receipt) -> Any:
    """Returns a receipt as JSON; only its number of samples if it is too long."""
    if len(receipt) > MAX_RECEIPT:
        return {"samples": receipts.count(receipt)}
    return [list(stride) for stride in receipt]
