"""Checks of arguments, so that all errors of one kind have one wording."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from disteval.errors import DistEvalError


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    """Raises a `DistEvalError` unless `value` is one of `choices`."""
    if value not in choices:
        listed = ", ".join(map(repr, choices))
        raise DistEvalError(
            f"Unknown `{name}`. Received: {name}={value!r}. Expected one of {listed}."
        )


def check_positive(
    name: str, value: Any, kind: Any = int, error: type[DistEvalError] = DistEvalError
) -> None:
    """Raises an `error` unless `value` is a positive number; a whole one if `kind` is `int`."""
    kinds = (int, np.integer) if kind is int else (int, float, np.number)
    if isinstance(value, bool) or not isinstance(value, kinds) or not value > 0:
        expected = "a positive integer" if kind is int else "a positive number"
        raise error(f"`{name}` must be positive. Received: {name}={value!r}. Expected: {expected}.")
