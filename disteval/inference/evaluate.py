"""`disteval.evaluate`: the metrics of all samples, on every rank."""

from __future__ import annotations

from typing import Any

from disteval.inference.session import Loops, evaluate_once

# Shared by all calls, so that a model is traced once.
_loops = Loops()


def evaluate(
    model: Any,
    data: Any,
    *,
    num_samples: int | None = None,
    batch_size: int | None = None,
    backend: str = "auto",
    sync_weights: str = "auto",
    verbose: str | int = "auto",
) -> dict[str, Any]:
    """Computes loss and metrics with all replicas; a collective, which every rank has to call.

    The model and its metrics are left as they are, so it may be called in the middle of training.

    Args:
        model: A compiled Keras model, with the same weights and metrics on every rank.
        data, num_samples, batch_size, backend, sync_weights, verbose: See `disteval.predict`.

    Returns:
        On every rank, the same floats: what `model.evaluate(..., return_dict=True)` of the saved
        model returns on one device for the same batches, within 1e-7 of sums in float64. Metrics
        whose result is not a scalar are arrays.

    Raises:
        MetricError: A metric is not a sum over batches, or the model is not compiled.
        DataError: The data has the wrong form.
        ReplicaDivergenceError: The replicas hold different weights.
        ReplicaError: Another rank failed.

    Example:
        >>> disteval.evaluate(model, (x, y))             # under `horovodrun -np 2`, on each rank:
        {'accuracy': 0.9140000343322754, 'loss': 0.2866729497909546}
    """
    options = {
        "num_samples": num_samples,
        "batch_size": batch_size,
        "sync_weights": sync_weights,
        "verbose": verbose,
        "validate": True,
    }
    return evaluate_once("evaluate", model, data, _FUNCTIONS, backend, options, _loops).metrics


def _no_outputs(outputs: Any, batch: Any) -> tuple[()]:
    """Returns the predictions that travel to the chief: none."""
    return ()


_FUNCTIONS = {"postprocess": _no_outputs}
