"""Sharded evaluation of Keras models, with the predictions in Weights & Biases tables."""

import sys

# `python -m disteval doctor` examines what these need, and so must do without.
if sys.argv[:2] != ["-m", "doctor"] or "disteval" not in sys.orig_argv:
    from disteval.backends import get_backend
    from disteval.callback import DistEvalCallback
    from disteval.errors import (
        DataError,
        DataOrderError,
        DistEvalError,
        ReplicaDivergenceError,
        ReplicaError,
    )
    from disteval.predict import predict
    from disteval.tasks import ClassificationEval, DetectionEval, RegressionEval, SegmentationEval

__all__ = [
    "ClassificationEval",
    "DataError",
    "DataOrderError",
    "DetectionEval",
    "DistEvalCallback",
    "DistEvalError",
    "RegressionEval",
    "ReplicaDivergenceError",
    "ReplicaError",
    "SegmentationEval",
    "get_backend",
    "predict",
]
