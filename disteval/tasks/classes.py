"""The classes of a task: their names, and metrics of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np

from disteval.errors import DataError, DistEvalError

# With more classes, metrics are not logged by class: a run with thousands of keys is unusable.
MAX_CLASSES_LOGGED = 50


def checked_names(class_names: Sequence[Any]) -> list[Any]:
    """Returns the names of classes as a list.

    Raises:
        DistEvalError: The names are not a list, or not distinct.
    """
    has_order = isinstance(class_names, Sequence) or hasattr(class_names, "__array__")
    if not has_order or isinstance(class_names, str | bytes):
        # The order of a set is another one in each process.
        hint = " A set has no order." if isinstance(class_names, Set) else ""
        hint = " A mapping has no class numbers." if isinstance(class_names, Mapping) else hint
        raise DistEvalError(
            f"`class_names` must be a list. Received: class_names={class_names!r}. "
            f"Expected: a list with the name of each class.{hint}"
        )
    names = list(class_names)
    wrong = [name for name in names if not isinstance(name, str | int | float | np.generic)]
    if wrong or not names:
        given = f"a name of type {type(wrong[0]).__name__}" if wrong else "no name"
        raise DistEvalError(
            f"`class_names` must be names. Received: {given}. "
            "Expected: text or a number for each class, and at least one class."
        )
    # As text, since names become parts of the names of metrics.
    repeated = [name for name, count in Counter(map(str, names)).items() if count > 1]
    if repeated:
        raise DistEvalError(
            f"`class_names` must be distinct. Received: class_names with {repeated[0]!r} more "
            "than once. Expected: a different name for each class."
        )
    return [name.item() if isinstance(name, np.generic) else name for name in names]


def check_count(class_names: Sequence[Any], num_classes: int) -> None:
    """Raises a `DataError` unless there is one name for each class of the model."""
    if len(class_names) != num_classes:
        raise DataError(
            f"`class_names` do not fit the model. Received: {len(class_names)} class_names for a "
            f"model of {num_classes} classes. Expected: a name for each class."
        )


def class_number(label: np.ndarray, num_classes: int) -> int:
    """Returns the class of a label: a class number, or one-hot.

    Raises:
        DataError: The label is not the number of a class, or not that of a single one.
    """
    if label.size == 1:
        number = label.item()
        if not 0 <= number < num_classes or number != int(number):
            raise DataError(
                f"A label is not a class number. Received: a label {number}. "
                f"Expected: 0 to {num_classes - 1}, since the model has {num_classes} classes."
            )
        return int(number)
    highest = label.max()
    if not highest > 0 or np.count_nonzero(label == highest) > 1:
        raise DataError(
            f"A label is not one-hot. Received: {label.tolist()}. Expected: one class that is "
            "higher than the others; for several classes or none, ClassificationEval has "
            "multi_label=True."
        )
    return int(label.argmax())


def by_class(metric: str, values: Iterable[Any], names: Sequence[Any]) -> dict[str, Any]:
    """Returns a metric of each class by name; nothing if there are too many classes to log."""
    if len(names) > MAX_CLASSES_LOGGED:
        return {}
    return {f"{metric}/{name}": value for name, value in zip(names, values, strict=True)}
