"""One evaluation, as the hooks that log it and the W&B artifact see it."""

from __future__ import annotations

import dataclasses
from typing import Any

from disteval.backends import Backend
from disteval.predict import Evaluation


@dataclasses.dataclass
class Version:
    """What the hooks and the tables of one evaluation need; none of it changes any more.

    Attributes:
        epoch: The epoch that is being trained, or has just ended.
        logs: What Keras gave to the callback.
        aliases: Aliases of the artifact.
        metadata: Metadata of the artifact.
        predictions: On the chief, the nest of arrays.
    """

    epoch: int
    logs: dict[str, Any]
    aliases: list[str]
    metadata: dict[str, Any]
    predictions: Any = None

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
            "seconds": {phase: round(value, 6) for phase, value in evaluation.seconds.items()},
            "receipts": evaluation.receipts,
        }

    def scalars(self) -> dict[str, float]:
        """Returns what goes to `run.log`; nothing if there was no sharded inference."""
        seconds = self.metadata.get("seconds", {})
        if "inference" not in seconds:
            return {}
        total = seconds["inference"] + seconds["gather"]
        return {
            "eval/epoch": self.epoch,
            "eval/samples_per_sec": self.metadata["samples"] / max(total, 1e-9),
            **{f"eval/seconds_{phase}": value for phase, value in seconds.items()},
        }
