"""AutoGraph, for the functions of users and for nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

PACKAGE = __name__.partition(".")[0]
# These two names are private to TensorFlow and Keras. `tf.function` converts either all functions
# that a trace calls or none, and to convert those of this package takes each rank 1.5 s. A nested
# `tf.function` would convert one function alone, but what that writes to a variable of Keras would
# belong to its own graph, where the rest of the step could not read it.
_convert = tf.__internal__.autograph.tf_convert
# The state of AutoGraph at an import: nobody has switched it off.
_context = tf.__internal__.autograph.control_status_ctx()


def with_autograph(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function that is converted when it is called in a trace, as by `tf.function`.

    Functions of this package stay as they are: they have no Python control flow over tensors.
    """
    module = getattr(function, "__module__", None) or ""
    if tf.executing_eagerly() or module.partition(".")[0] == PACKAGE:
        return function
    converted: Callable[..., Any] = _convert(function, _context)
    return converted
