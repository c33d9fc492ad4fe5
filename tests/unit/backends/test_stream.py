"""Arrays as a stream of bytes."""

from __future__ import annotations

import numpy as np
import pytest

from disteval.backends.stream import Filler, bytes_of


def test_the_bytes_of_an_array_are_its_memory() -> None:
    array = np.arange(6, dtype=np.int16).reshape(2, 3)
    data = bytes_of(array)
    assert data.dtype == np.uint8
    assert np.shares_memory(data, array)
    assert data.tobytes() == array.tobytes()


@pytest.mark.parametrize("piece", [1, 3, 100])
def test_a_stream_fills_arrays_one_after_the_other(piece: int) -> None:
    sources = [np.arange(5, dtype=np.int32), np.empty((0, 2)), np.array([True, False])]
    stream = np.concatenate([bytes_of(source) for source in sources])
    targets = [np.zeros_like(source) for source in sources]
    filler = Filler(targets)
    for start in range(0, len(stream), piece):
        filler.write(stream[start : start + piece])
    for target, source in zip(targets, sources, strict=True):
        np.testing.assert_array_equal(target, source)
