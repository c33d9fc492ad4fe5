"""How to evaluate: the arguments that are checked before anything runs."""

from __future__ import annotations

import numpy as np
import pytest

from disteval.data.coercion import as_source
from disteval.errors import DataError, DistEvalError
from disteval.inference.session import Options

X = np.arange(180, dtype=np.float32).reshape(60, 3)


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
