"""Sharded evaluation of Keras models, with the predictions in Weights & Biases tables."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from disteval.backends.choice import get_backend as get_backend
    from disteval.callback import DistEvalCallback as DistEvalCallback
    from disteval.data.sharded import sharded as sharded
    from disteval.errors import CollectiveError as CollectiveError
    from disteval.errors import DataError as DataError
    from disteval.errors import DataOrderError as DataOrderError
    from disteval.errors import DistEvalError as DistEvalError
    from disteval.errors import MetricError as MetricError
    from disteval.errors import ReplicaDivergenceError as ReplicaDivergenceError
    from disteval.errors import ReplicaError as ReplicaError
    from disteval.inference.evaluate import evaluate as evaluate
    from disteval.inference.predict import predict as predict
    from disteval.inference.seeds import sample_seeds as sample_seeds
    from disteval.tasks.base import TaskEval as TaskEval
    from disteval.tasks.classification import ClassificationEval as ClassificationEval
    from disteval.tasks.detection import DetectionEval as DetectionEval
    from disteval.tasks.regression import RegressionEval as RegressionEval
    from disteval.tasks.segmentation import SegmentationEval as SegmentationEval
    from disteval.tasks.text import TextEval as TextEval

# Imported on first use (PEP 562), so that `import disteval` and the commands that need neither
# TensorFlow nor W&B start without them.
_MODULES = {
    "disteval.backends.choice": ["get_backend"],
    "disteval.callback": ["DistEvalCallback"],
    "disteval.data.sharded": ["sharded"],
    "disteval.errors": ["CollectiveError", "DataError", "DataOrderError", "DistEvalError",
                        "MetricError", "ReplicaDivergenceError", "ReplicaError"],
    "disteval.inference.evaluate": ["evaluate"],
    "disteval.inference.predict": ["predict"],
    "disteval.inference.seeds": ["sample_seeds"],
    "disteval.tasks.base": ["TaskEval"],
    "disteval.tasks.classification": ["ClassificationEval"],
    "disteval.tasks.detection": ["DetectionEval"],
    "disteval.tasks.regression": ["RegressionEval"],
    "disteval.tasks.segmentation": ["SegmentationEval"],
    "disteval.tasks.text": ["TextEval"],
}  # fmt: skip
__all__ = ["__version__", *(name for names in _MODULES.values() for name in names)]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # half of the time of `import disteval`

        return version("disteval")
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module 'disteval' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
