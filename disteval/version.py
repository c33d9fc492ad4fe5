"""One evaluation, as the hooks that log it and the W&B artifact see it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from disteval import receipts
from disteval.backends import Backend
from disteval.predict import Evaluation
from disteval.receipts import Receipt

# Entries of a receipt that the metadata keep.
MAX_RECEIPT = 16


@dataclasses.dataclass
class Version:
    """What the hooks and the tables of one evaluation need, whatever training does meanwhile.

    Attributes:
        epoch: The epoch that is being trained, or has just ended.
        logs: What Keras gave to the callback.
        aliases: Aliases of the artifact.
        metadata: Metadata of the artifact.
        predictions: On the chief, the nest of arrays.
        metrics: What the hooks add to `run.log`.
    """

    epoch: int
    logs: dict[str, Any]
    aliases: list[str]
    metadata: dict[str, Any]
    predictions: Any = None
    metrics: dict[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def none(cls) -> Version:
        """Returns what stands for the version where there is none."""
        return cls(0, {}, [], {})

    @classmethod
    def start(
        cls, unit: str, number: int, *, epoch: int, step: int, logs: dict[str, Any] | None
    ) -> Version:
        """Returns the version of an evaluation that is about to run."""
        logs = dict(logs or {})
        metadata = {"epoch": epoch, "step": step, "logs": logs}
        return cls(epoch, logs, ["latest", f"{unit}_{number}"], metadata)

    def add(self, evaluation: Evaluation, backend: Backend) -> None:
        """Takes over what the evaluation gave."""
        self.predictions = evaluation.predictions
        self.metadata |= {
            "replicas": backend.num_replicas,
            "samples": evaluation.num_samples,
            "bytes": evaluation.num_bytes,
            "seconds": {phase: round(value, 6) for phase, value in evaluation.seconds.items()},
            "receipts": [_short(receipt) for receipt in evaluation.receipts],
        }

    def add_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Adds what a hook computed; numbers go to the metadata of the artifact, too."""
        self.metrics |= metrics
        # JSON has no NaN.
        numbers = {
            name: value
            for name, value in metrics.items()
            if isinstance(value, int | float) and math.isfinite(value)
        }
        self.metadata.setdefault("metrics", {}).update(numbers)

    def scalars(self) -> dict[str, Any]:
        """Returns what goes to `run.log`; nothing if there is nothing to tell."""
        metrics = {f"eval/{name}": value for name, value in self.metrics.items()}
        seconds = self.metadata.get("seconds", {})
        if "inference" not in seconds:
            return {"eval/epoch": self.epoch, **metrics} if metrics else {}
        total = seconds["inference"] + seconds["gather"]
        return {
            "eval/epoch": self.epoch,
            "eval/samples_per_sec": self.metadata["samples"] / max(total, 1e-9),
            **{f"eval/seconds_{phase}": value for phase, value in seconds.items()},
            **metrics,
        }


def _short(receipt: Receipt) -> Any:
    """Returns a receipt, or where samples were read in no order, how many there were."""
    return receipt if len(receipt) <= MAX_RECEIPT else {"samples": receipts.count(receipt)}
