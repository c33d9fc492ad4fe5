"""Errors of this package that are raised while TensorFlow traces a function."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from disteval.errors import DistEvalError

# How the message begins that AutoGraph puts in the place of an error's own message.
WRAPPED = "in user code:"


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Raises an error of this package as it was raised in the traced function.

    AutoGraph replaces it by one of the same type whose message begins with a traceback, in which
    the fault would come last. Errors of the user's own code keep that traceback.
    """
    try:
        yield
    except DistEvalError as error:
        original: BaseException | None = error
        while isinstance(original, DistEvalError) and str(original).startswith(WRAPPED):
            original = original.__context__
        if original is None or original is error:
            raise
        raise original from None
