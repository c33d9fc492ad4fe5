"""The keyword arguments that all ready-made evaluators take, for editors and for `help`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict


class CallbackOptions(TypedDict, total=False):
    """The keyword arguments of `DistEvalCallback`."""

    num_samples: int | None
    batch_size: int | None
    backend: str
    log_freq: str | int
    reference: str
    sync_weights: str
    asynchronous: bool
    on_log_error: str
    monitor: str | None
    mode: str
    timeout: float
    verbose: str | int
    partitions: int
    keep_local: bool
    validate: str | bool
    name: str | None
    eager: bool


class TaskOptions(CallbackOptions, total=False):
    """The keyword arguments of `TaskEval`."""

    rows: str
    num_rows: int | None
    panel: bool
    image_key: Any
    output_key: Any
    label_key: Any
    slices: Mapping[str, Any] | None
    history: bool
    in_logs: Sequence[str]


def full_signature(kind: type) -> inspect.Signature:
    """Returns the signature of a class, with the arguments behind `**options` in its place.

    Args:
        kind: A class whose constructor passes `**options` to that of its base.
    """
    parameters: dict[str, inspect.Parameter] = {}
    passes_on = True
    for base in kind.__mro__:
        if "__init__" not in vars(base) or not passes_on:
            continue
        _, *own = inspect.signature(base.__init__).parameters.values()  # type: ignore[misc]
        passes_on = any(each.kind is each.VAR_KEYWORD for each in own)
        named = [each for each in own if each.kind is not each.VAR_KEYWORD]
        # A base's positional arguments are passed by the class itself.
        added = [each for each in named if not parameters or each.kind is each.KEYWORD_ONLY]
        for each in added:
            parameters.setdefault(each.name, each)
    ordered = sorted(parameters.values(), key=lambda each: each.kind)
    return inspect.Signature(ordered)
