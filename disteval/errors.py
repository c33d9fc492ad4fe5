"""The errors of this package. All of them are a `DistEvalError`."""

from __future__ import annotations


class DistEvalError(Exception):
    """Base of every error that this package raises on purpose."""


class DataError(DistEvalError):
    """The validation data, or what the model made of it, has the wrong form."""


class DataOrderError(DistEvalError):
    """The validation data comes in another order at each pass, or on each rank."""


class ReplicaError(DistEvalError):
    """A rank failed or fell silent; raised on every rank that can still be reached."""


class CollectiveError(ReplicaError):
    """A collective failed, most likely because a peer is gone."""


class ReplicaDivergenceError(DistEvalError):
    """The replicas hold different models, so a sharded evaluation would mix them."""


class MetricError(DistEvalError):
    """A metric of the model cannot be summed over batches and replicas."""
