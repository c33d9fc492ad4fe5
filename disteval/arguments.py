"""Checks of arguments, so that all errors of one kind have one wording."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from disteval.errors import DistEvalError


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    """Raises a `DistEvalError` unless `value` is one of `choices`."""
    if not any(_is(value, choice) for choice in choices):
        listed = ", ".join(map(repr, choices))
        raise DistEvalError(
            f"Unknown `{name}`. Received: {name}={_shown(value)}. Expected one of {listed}."
        )


def check_bool(name: str, value: Any) -> None:
    """Raises a `DistEvalError` unless `value` is a bool."""
    check_choice(name, value, (True, False))


def check_positive(
    name: str, value: Any, kind: Any = int, error: type[DistEvalError] = DistEvalError
) -> None:
    """Raises an `error` unless `value` is a positive number; a whole one if `kind` is `int`."""
    kinds = (int, np.integer) if kind is int else (int, float, np.number)
    if not _is_a(kinds, value) or not value > 0:
        expected = "a positive integer" if kind is int else "a positive number"
        raise error(
            f"`{name}` must be positive. Received: {name}={_shown(value)}. Expected: {expected}."
        )


def check_count(name: str, value: Any) -> None:
    """Raises a `DistEvalError` unless `value` is an integer from 0."""
    if not _is_a((int, np.integer), value) or value < 0:
        raise DistEvalError(
            f"`{name}` must be a number from 0. Received: {name}={_shown(value)}. "
            "Expected: 0, 1, 2, ..."
        )


def check_index(name: str, value: Any) -> None:
    """Raises a `DistEvalError` unless `value` is an integer or `None`."""
    if value is not None and not _is_a((int, np.integer), value):
        raise DistEvalError(
            f"`{name}` must be an integer. Received: {name}={_shown(value)}. "
            "Expected: an integer, or None."
        )


def check_fraction(name: str, value: Any) -> None:
    """Raises a `DistEvalError` unless `value` is a number from 0 to 1."""
    if not _is_a((int, float, np.number), value) or not 0 <= value <= 1:
        raise DistEvalError(
            f"`{name}` must be a fraction. Received: {name}={_shown(value)}. "
            "Expected: a number from 0 to 1."
        )


def check_strings(name: str, value: Any) -> None:
    """Raises a `DistEvalError` unless `value` is a list of at least one text, each only once."""
    if not isinstance(value, list | tuple) or not value:
        fault = "must be a list with at least one name"
    elif not all(isinstance(item, str) for item in value):
        fault = "must hold text only"
    elif len(set(value)) < len(value):
        fault = "must be distinct"
    else:
        return
    raise DistEvalError(
        f"`{name}` {fault}. Received: {name}={_shown(value)}. "
        "Expected: a list of different names, such as ['a', 'b']."
    )


def check_callable(
    name: str, value: Any, *arguments: str, error: type[DistEvalError] = DistEvalError
) -> None:
    """Raises an `error` unless `value` can be called with these positional arguments."""
    if callable(value) and _takes(value, len(arguments)):
        return
    raise error(
        f"`{name}` must be a function of {len(arguments)} arguments. Received: "
        f"{name}={_shown(value)}. Expected: def {name}({', '.join(arguments)})."
    )


def check_model(model: Any) -> None:
    """Raises a `DistEvalError` unless `model` is a Keras model that can predict."""
    if isinstance(model, type) or not hasattr(model, "predict_step"):
        given = f"the class {model.__name__}" if isinstance(model, type) else _shown(model)
        raise DistEvalError(
            f"`model` is not a Keras model. Received: model={given}. Expected: an instance of "
            "keras.Model."
        )


def _is(value: Any, choice: Any) -> bool:
    if isinstance(choice, bool):  # 1 is not True: it is a mistake for something else
        return value is choice
    # An array would be compared item by item.
    return isinstance(value, str | int | np.integer) and bool(value == choice)


def _is_a(kinds: tuple[type, ...], value: Any) -> bool:
    """Whether a value is a number of one of these kinds, which Python's bools are as well."""
    return isinstance(value, kinds) and not isinstance(value, bool)


def _takes(function: Callable[..., Any], count: int) -> bool:
    try:
        inspect.signature(function).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:  # a builtin that does not tell its signature
        return True
    return True


def _shown(value: Any) -> str:
    """Returns a value as text that fits into a message."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
