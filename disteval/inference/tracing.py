"""Errors of a compiled function, while it is traced and when it runs."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import tensorflow as tf

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


def failed_at(error: tf.errors.OpError, operation: str) -> bool:
    """Whether an operation whose name has this part failed, and not only one before it.

    Messages also name the operations that wait for a failed one, without `node`.
    """
    return re.search(rf"{{{{node [^}}]*{operation}", error.message) is not None
