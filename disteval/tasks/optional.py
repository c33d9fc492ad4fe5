"""Optional dependencies of the ready-made evaluators."""

from __future__ import annotations

import importlib

from disteval.errors import DistEvalError


def require(module: str) -> None:
    """Raises a one-line `DistEvalError` if an optional dependency cannot be imported."""
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise DistEvalError(
            f"This evaluator needs {module}, which cannot be imported: {error}. Install it: "
            "pip install 'disteval[tasks]'"
        ) from None
