"""`disteval.predict`: predictions of all replicas, on the chief."""

from __future__ import annotations

from typing import Any

from disteval.inference.functions import Infer, PostProcess
from disteval.inference.session import Loops, evaluate_once

# Shared by all calls, so that a model is traced once for an `infer` and a `postprocess`.
_loops = Loops()


def predict(
    model: Any,
    data: Any,
    *,
    num_samples: int | None = None,
    batch_size: int | None = None,
    backend: str = "auto",
    infer: Infer | None = None,
    postprocess: PostProcess | None = None,
    sync_weights: str = "auto",
    verbose: str | int = "auto",
    eager: bool = False,
) -> Any:
    """Predicts with all replicas; a collective, which every rank has to call.

    Args:
        model: A Keras model on the TensorFlow backend, with the same weights on every rank.
        data: See `DistEvalCallback.validation_data`; for arrays, `x` alone will do as well.
        num_samples: Evaluates the first so many samples only; all by default.
        batch_size: Samples of a batch on one replica, 32 by default. A batched dataset keeps its
            own batches.
        backend: See `get_backend`.
        infer: `infer(model, batch)`, which makes the outputs of a batch; `model.predict_step` by
            default. See `DistEvalCallback.infer`.
        postprocess: `postprocess(outputs, batch)`, traced into the graph on every replica. It
            returns what travels to the chief, tensors with one row for each sample; by default
            the outputs.
        sync_weights: See `DistEvalCallback`.
        verbose: 1 shows a progress bar on the chief if the evaluation takes longer than 2 seconds,
            0 shows none, and `"auto"` shows one on a terminal.
        eager: Runs `infer` and `postprocess` as plain Python, batch by batch, instead of tracing
            them; not with several replicas in one process.

    Returns:
        On the chief, the predictions of all samples in dataset order: a nest, as the model or
        `postprocess` returns it, of arrays of shape `(samples, ...)`. Ragged outputs, and those
        whose rows differ in shape, are object arrays with an array for each sample; strings are
        object arrays of bytes. On every other rank, `None`.

    Raises:
        DataError: The data or the predictions have the wrong form.
        ReplicaDivergenceError: The replicas hold different weights.
        ReplicaError: Another rank failed.

    Example:
        >>> disteval.predict(model, (x, y))             # under `horovodrun -np 2`, on rank 0:
        array([[0.1, 0.9], ...], dtype=float32)         # shape (len(x), 2), and None on rank 1
    """
    options = {
        "num_samples": num_samples,
        "batch_size": batch_size,
        "sync_weights": sync_weights,
        "verbose": verbose,
    }
    functions = {"infer": infer, "postprocess": postprocess, "eager": eager}
    return evaluate_once("predict", model, data, functions, backend, options, _loops).predictions
