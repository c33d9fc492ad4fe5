"""Slices: parts of the samples, such as those in the dark, with metrics of their own."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from disteval.errors import DataError, DistEvalError
from disteval.intervals import mean_interval
from disteval.optional import require
from disteval.tables.cells import plain
from disteval.tables.history import COLUMNS
from disteval.tables.sets import slug
from disteval.tasks.assessment import Assessment

logger = logging.getLogger("disteval")

# A run with thousands of keys is unusable.
MAX_VALUES = 20
# Columns of the ready-made evaluators, which a slice would hide.
TAKEN = frozenset({
    "index", "epoch", "step", "row", "image", "label", "target", "prediction", "top_k",
    "top_k_scores", "confidence", "correct", "loss", "probabilities", "residual", "absolute_error",
    "squared_error", "true_positives", "false_positives", "false_negatives", "iou",
    "pixel_accuracy", "prompt", "reference", "output", "score", "exact_match", "f1", *COLUMNS,
})  # fmt: skip


class SliceMetrics(NamedTuple):
    """The metrics of the samples with one value of a slice.

    Attributes:
        name: The name of the slice, such as light.
        value: The value, such as dark.
        samples: The number of samples.
        metrics: Values by name.
        intervals: 95 % intervals `(low, high)` of those metrics that are means.
    """

    name: str
    value: str
    samples: int
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]

    def named(self) -> dict[str, float]:
        """Returns metrics and intervals by the names that they have in the run."""
        key = f"{slug(self.name)}={slug(self.value)}"
        values = {f"{metric}/{key}": value for metric, value in self.metrics.items()}
        for metric, (low, high) in self.intervals.items():
            values |= {f"{metric}/{key}/low": low, f"{metric}/{key}/high": high}
        return values

    def to_json(self) -> dict[str, Any]:
        """Returns what the metadata of a version holds: each metric, with its interval."""
        metrics = {n: [v, *self.intervals.get(n, ())] for n, v in self.metrics.items()}
        return {
            "slice": self.name,
            "value": self.value,
            "samples": self.samples,
            "metrics": metrics,
        }


class Slices:
    """The values of each slice, for each sample.

    Args:
        slices: See `TaskEval`; `None` for no slices.
        num_samples: See `DistEvalCallback`.

    Raises:
        DistEvalError: The argument is invalid.
    """

    def __init__(self, slices: Any, num_samples: int | None) -> None:
        self._given = {} if slices is None else _checked(slices)
        if self._given:
            require("scipy", "`slices`")
        self._num_samples = num_samples
        self._values: dict[str, list[str | None]] = {}
        self._warned: set[str] = set()

    def begin(self) -> None:
        """Forgets the samples; `add` is called for each of them next."""
        self._values = {name: [] for name, given in self._given.items() if callable(given)}

    def add(self, x: Any, y: Any) -> None:
        """Adds the next sample in dataset order."""
        for name, values in self._values.items():
            try:
                value = self._given[name](x, y)
            except Exception as error:
                raise DataError(
                    f"The function of the slice {name!r} failed on sample {len(values)}: "
                    f"{type(error).__name__}: {error}. Expected: a text, a number or None."
                ) from error
            values.append(_text(value, name))

    def end(self, count: int) -> None:
        """Takes the values that were given as such.

        Args:
            count: The number of samples.

        Raises:
            DataError: There is not one value for each sample.
        """
        for name, given in self._given.items():
            if callable(given):
                continue
            fits = len(given) == count or (self._num_samples and len(given) > count)
            if not fits:
                raise DataError(
                    f"The values of the slice {name!r} do not fit the data. Received: "
                    f"{len(given)} values for {count} samples. Expected: one for each sample."
                )
            self._values[name] = [_text(value, name) for value in given[:count]]

    def cells(self, index: int) -> dict[str, str | None]:
        """Returns the values of a sample, by slice."""
        return {name: self._values[name][index] for name in self._given}

    def check_columns(self, columns: Sequence[str]) -> None:
        """Raises a `DataError` if a slice has the name of a column."""
        both = [name for name in self._given if name in columns]
        if both:
            raise DataError(
                f"A slice has the name of a column. Received: slices with {both[0]!r}, which is a "
                f"column of the tables. Expected: a name other than {', '.join(columns)}."
            )

    def measure(
        self,
        assess: Callable[[Any, Sequence[Any]], Assessment],
        predictions: Any,
        labels: Sequence[Any],
    ) -> list[SliceMetrics]:
        """Returns the metrics of each value of each slice.

        Args:
            assess: Computes the metrics of some samples.
            predictions: A nest of arrays, with a row for each sample.
            labels: The label of each sample.
        """
        measured = []
        for name in self._given:
            for value, rows in self._groups(name):
                part = tf.nest.map_structure(lambda leaf, rows=rows: leaf[rows], predictions)
                assessment = assess(part, [labels[row] for row in rows])
                # Those of single classes have names such as f1/cat.
                metrics = {n: float(v) for n, v in assessment.metrics.items() if "/" not in n}
                means = assessment.means if len(rows) > 1 else {}
                intervals = {name: mean_interval(values) for name, values in means.items()}
                measured.append(SliceMetrics(name, value, len(rows), metrics, intervals))
        return measured

    def _groups(self, name: str) -> list[tuple[str, np.ndarray]]:
        """Returns the values of a slice with the indices of their samples, the largest first."""
        values = self._values[name]
        counts = Counter(value for value in values if value is not None)
        largest = sorted(counts, key=lambda value: (-counts[value], value))
        if len(largest) > MAX_VALUES and name not in self._warned:
            self._warned.add(name)
            logger.warning(
                "The slice %r has %d values, of which the %d with the most samples are logged. "
                "Group them, such as numbers into ranges.", name, len(largest), MAX_VALUES
            )  # fmt: skip
        array = np.array(values, object)
        return [(value, np.flatnonzero(array == value)) for value in largest[:MAX_VALUES]]


def _checked(slices: Any) -> dict[str, Any]:
    if not isinstance(slices, Mapping):
        raise DistEvalError(
            f"`slices` is not a mapping. Received: slices={slices!r:.100}. Expected: values or a "
            'function for each slice by name, such as {"light": ["dark", "bright", ...]}.'
        )
    for name, given in slices.items():
        if not isinstance(name, str) or not name.strip():
            raise DistEvalError(
                f"A slice has no name. Received: slices with the name {name!r}. Expected: a text."
            )
        if name in TAKEN:
            raise DistEvalError(
                f"A slice has the name of a column. Received: slices with {name!r}, which is a "
                "column of the evaluators. Expected: another name."
            )
        is_list = hasattr(given, "__len__") and hasattr(given, "__getitem__")
        is_list = is_list and not isinstance(given, str | bytes | Mapping)
        if not callable(given) and not is_list:
            raise DistEvalError(
                f"The slice {name!r} has no values. Received: {type(given).__name__}. Expected: a "
                "list or array with a value for each sample, or a function of (x, y)."
            )
    return dict(slices)


def _text(value: Any, name: str) -> str | None:
    """Returns a value as text; `None` for a sample that is in no part of the slice."""
    value = plain(value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if not isinstance(value, str | int | float):
        raise DataError(
            f"The slice {name!r} has a value that is no text. Received: {type(value).__name__} "
            f"{value!r:.100}. Expected: a text, a number, a bool or None."
        )
    return str(value)
