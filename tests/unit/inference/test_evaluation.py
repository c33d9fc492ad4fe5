"""One evaluation from top to bottom, in one process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import disteval
from disteval.backends.status import Status
from disteval.data.coercion import as_source
from disteval.errors import DataError, DistEvalError
from disteval.inference.evaluation import Options, ReadyReport, run_evaluation
from disteval.inference.functions import BatchFunctions
from disteval.inference.loop import Loop
from disteval.inference.receipts import Stride
from disteval.inference.weights import WeightsReport
from sample_data import Batches

keras = tf.keras
X = np.arange(120, dtype=np.float32).reshape(40, 3)


def numbered(numbers: list[int]) -> Callable[[int, int], tf.data.Dataset]:
    """Returns a function that yields samples under these numbers."""
    x = X[: len(numbers)]
    return lambda index, count: tf.data.Dataset.from_tensor_slices(
        (np.array(numbers, np.int64), (x, x))
    )


@pytest.mark.parametrize(
    ("data", "receipt"),
    [
        (X, [Stride(0, 40, 0, 1)]),
        (Batches(X, 7), [Stride(0, 40, 0, 1)]),
        (numbered([0, 1, 4, 5, 8, 9, 2, 3, 6, 7]), [Stride(0, 2, 4, 3), Stride(2, 2, 4, 2)]),
        (numbered([3, 2, 1, 0]), [Stride(3, 1, -1, 4)]),
    ],
    ids=["arrays", "PyDataset", "in turns", "backwards"],
)
def test_the_receipt_says_who_evaluated_what(data: Any, receipt: list[Stride]) -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Rescaling(2.0)])
    backend = disteval.get_backend(model=model)
    loop = Loop(model, BatchFunctions(), backend.strategy)
    source = as_source(data, batch_size=64)
    result = run_evaluation(backend, lambda: (loop, source), "test", Options())
    assert result.receipts == [receipt]
    assert result.num_samples == len(result.predictions)
    assert result.seconds["inference"] > 0
    assert result.num_bytes == 0, "nothing travels in one process"


def test_a_report_survives_the_wire() -> None:
    weights = WeightsReport([((3, 2), "float32", True)], np.array([[1, -1]]))
    report = ReadyReport((0.25, 0.75), weights, None)
    received = Status.decode(Status(1, "here", report=report).encode()).report
    assert (received.shares, received.weights.forms) == (report.shares, weights.forms)
    np.testing.assert_array_equal(received.weights.fingerprints, weights.fingerprints)


@pytest.mark.parametrize("name", ["num_samples", "batch_size"])
@pytest.mark.parametrize("value", [0, -1, 2.0, "3"])
def test_refused_sizes(name: str, value: object) -> None:
    with pytest.raises(DataError, match=rf"{name}={value!r}.*a positive integer"):
        Options(**{name: value})


@pytest.mark.parametrize("value", [3, np.int64(3)])
def test_sizes_may_be_numpy_integers(value: int) -> None:
    options = Options(num_samples=value, batch_size=value)
    sizes = {"num_samples": options.num_samples, "batch_size": options.batch_size}
    source = as_source(X, **sizes)
    assert len(source.first()[0]) == len(list(source.samples())) == 3


@pytest.mark.parametrize("value", ["loud", 2, None])
def test_refused_verbosity(value: object) -> None:
    with pytest.raises(DistEvalError, match=f"Received: verbose={value!r}"):
        Options(verbose=value)
