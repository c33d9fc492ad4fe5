"""Optional dependencies."""

from __future__ import annotations

import importlib

from disteval.errors import DistEvalError


def require(module: str, user: str = "This evaluator", extra: str = "tasks") -> None:
    """Raises a one-line `DistEvalError` if an optional dependency cannot be imported.

    Args:
        module: The module.
        user: What needs it.
        extra: The extra of this package that installs it.
    """
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise DistEvalError(
            f"{user} needs {module}, which cannot be imported: {error}. Install it: "
            f"pip install 'disteval[{extra}]'"
        ) from None
