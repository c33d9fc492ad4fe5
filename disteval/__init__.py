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

__all__ = [
    "DataError",
    "DataOrderError",
    "DistEvalCallback",
    "DistEvalError",
    "ReplicaDivergenceError",
    "ReplicaError",
    "get_backend",
    "predict",
]
