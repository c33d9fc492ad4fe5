"""Sharded evaluation of Keras models, with the predictions in Weights & Biases tables."""

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
