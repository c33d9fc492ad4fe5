"""What earlier evaluations said of each sample, in a few numbers that the chief keeps.

`mean_confidence` and `variability` are those of dataset cartography (Swayamdipta et al., 2020,
https://aclanthology.org/2020.emnlp-main.746): mean and standard deviation, over the versions, of
the probability of the true label. `times_forgotten` counts forgetting events (Toneva et al., 2019,
https://openreview.net/forum?id=BJlxm30cKm): a sample that was right is wrong in the next version.
"""

from __future__ import annotations

import hashlib
import logging
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import wandb

from disteval.tables.run_folder import find_newest, own_folder
from disteval.tables.sets import SetName

logger = logging.getLogger("disteval")

# The columns that a history adds to the prediction table; the last one for every task.
COLUMNS = ("previous", "changed", "times_forgotten", "mean_confidence", "variability", "suspect",
           "loss_change")  # fmt: skip


class Outcome(NamedTuple):
    """What a classifier said of each sample in one version.

    Attributes:
        predicted: The predicted class, int of shape `(samples,)`; or uint8 of shape `(samples,
            bytes)`, where several classes are predicted.
        correct: bool of shape `(samples,)`.
        confidence: float of shape `(samples,)`: the probability of the true label.
        suspect: bool of shape `(samples,)`: whether the label is probably wrong; `None` if that
            is not known.
    """

    predicted: np.ndarray
    correct: np.ndarray
    confidence: np.ndarray
    suspect: np.ndarray | None = None


class Changes(NamedTuple):
    """What a version changed.

    Attributes:
        columns: Values for each sample, by column; without `previous`.
        counts: `fixed` and `broken`: how many samples became right, and wrong.
        previous: What the version before predicted; `None` if there is none.
    """

    columns: dict[str, np.ndarray]
    counts: dict[str, int]
    previous: np.ndarray | None

    def of_samples(
        self, chosen: np.ndarray, class_cells: Callable[[np.ndarray], list[Any]]
    ) -> dict[str, Any]:
        """Returns the columns of the prediction table for some samples.

        Args:
            chosen: The indices of the samples.
            class_cells: Turns predicted classes into cells.
        """
        columns: dict[str, Any] = {name: column[chosen] for name, column in self.columns.items()}
        if "changed" not in columns:
            return columns
        previous: list[Any] = [None] * len(chosen)
        if self.previous is not None:
            previous = class_cells(self.previous[chosen])
        return {"previous": previous, **columns}


class History:
    """Running statistics of each sample over all versions.

    They take 33 bytes for each sample of a classification, and 8 of any other task. Of samples
    with several classes, the predicted classes take a bit for each class.

    Args:
        digest: What identifies the samples.

    Attributes:
        versions: The number of versions so far.
    """

    def __init__(self, digest: str) -> None:
        self.digest = digest
        self.versions = 0
        self._arrays: dict[str, np.ndarray] = {}

    @property
    def nbytes(self) -> int:
        """The memory of all samples."""
        return sum(array.nbytes for array in self._arrays.values())

    def add(self, losses: np.ndarray, outcome: Outcome | None) -> Changes:
        """Adds a version, and returns what it changed.

        Args:
            losses: float of shape `(samples,)`.
            outcome: What a classifier said; `None` for any other task.
        """
        losses = np.asarray(losses, np.float64)
        before = self._arrays
        self.versions += 1
        self._arrays = {"loss": losses}
        columns: dict[str, np.ndarray] = {}
        counts: dict[str, int] = {}
        if outcome is not None:
            columns, counts = self._add_outcome(outcome, before)
        columns["loss_change"] = losses - before.get("loss", np.full_like(losses, np.nan))
        return Changes(columns, counts, before.get("predicted"))

    def _add_outcome(
        self, outcome: Outcome, before: dict[str, np.ndarray]
    ) -> tuple[dict[str, np.ndarray], dict[str, int]]:
        correct = np.asarray(outcome.correct, bool)
        # A model that has diverged gives its labels no probability at all.
        confidence = np.nan_to_num(np.asarray(outcome.confidence, np.float64), nan=0.0)
        forgotten = before.get("forgotten", np.zeros(len(correct), np.int32))
        changed = np.zeros(len(correct), bool)
        counts: dict[str, int] = {}
        if "correct" in before:
            differs = outcome.predicted != before["predicted"]
            changed = differs.reshape(len(correct), -1).any(axis=1)
            broken = before["correct"] & ~correct
            forgotten = forgotten + broken
            fixed = ~before["correct"] & correct
            counts = {"fixed": int(fixed.sum()), "broken": int(broken.sum())}
        # Welford's running mean and sum of squared deviations, which lose no digits.
        mean = before.get("mean", np.zeros(len(correct)))
        distance = confidence - mean
        mean = mean + distance / self.versions
        squares = before.get("squares", np.zeros(len(correct))) + distance * (confidence - mean)
        self._arrays |= {"predicted": outcome.predicted, "correct": correct}
        self._arrays |= {"forgotten": forgotten, "mean": mean, "squares": squares}
        columns = {
            "changed": changed,
            "times_forgotten": forgotten,
            "mean_confidence": mean,
            "variability": np.sqrt(squares / self.versions),
        }
        if outcome.suspect is not None:
            columns["suspect"] = outcome.suspect
        return columns, counts

    def save(self, run: wandb.Run, names: SetName) -> None:
        """Writes the history of a set to the directory of a run, completely or not at all."""
        path = _file(run, names)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.partial")
        with partial.open("wb") as file:
            known: dict[str, Any] = {"digest": self.digest, "versions": self.versions}
            np.savez(file, **(known | self._arrays))
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> History:
        """Reads a history from a file.

        Raises:
            Exception: The file is damaged; the type is up to NumPy.
        """
        with np.load(path, allow_pickle=False) as known:
            history = cls(str(known["digest"]))
            history.versions = int(known["versions"])
            history._arrays = {n: known[n] for n in known.files if n not in ("digest", "versions")}
        return history


def restore(
    run: wandb.Run, names: SetName, task: str, labels: Sequence[Any], known: History | None
) -> History:
    """Returns the history of a set in a run, which may have been started before.

    Args:
        run: The run.
        names: The name of the set.
        task: The name of the evaluator.
        labels: The label of each sample, by which the samples are told apart from others.
        known: The history that this process has in memory; `None` if it has none.
    """
    digest = _digest(run.id, task, labels)
    found = None if run.disabled else _read(run, names, digest)
    # Another rank may have been the chief since this one was.
    candidates = [history for history in (found, known) if history and history.digest == digest]
    return max(candidates, key=lambda history: history.versions, default=History(digest))


def _file(run: wandb.Run, names: SetName) -> Path:
    return own_folder(run) / f"{names.artifact('history')}.npz"


def _digest(run_id: str, task: str, labels: Sequence[Any]) -> str:
    digest = hashlib.blake2b(f"{run_id} {task} {len(labels)}".encode(), digest_size=16)
    for label in labels:
        for leaf in label if isinstance(label, tuple) else (label,):  # boxes have several arrays
            digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()


def _read(run: wandb.Run, names: SetName, digest: str) -> History | None:
    """Returns the history that a run remembers, and warns if it cannot be had."""
    path = find_newest(run, _file(run, names).name)
    if path is None:
        if run.resumed and run.summary.get(names.value("samples_per_sec")) is not None:
            where = own_folder(run).parents[1]
            _warn(run, names, f"its file is not in {where}, where this run was resumed")
        return None
    try:
        history = History.load(path)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        _warn(run, names, f"{path} is damaged ({error})")
        return None
    if history.digest != digest:
        _warn(run, names, f"{path} is of other samples or labels")
        return None
    return history


def _warn(run: wandb.Run, names: SetName, reason: str) -> None:
    logger.warning(
        "The history of the samples%s starts anew in run %s, since %s. Columns such as "
        "times_forgotten count from here.",
        "" if names.name is None else f" of the set {names.name!r}", run.id, reason,
    )  # fmt: skip
