"""How bytes travel in pieces of equal size."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from disteval.backends.peers import _pieces
from disteval.backends.stream import Filler, bytes_of

BUFFERS = st.lists(
    st.tuples(
        st.sampled_from(["float32", "uint8", "int64", "bool", tf.bfloat16.as_numpy_dtype]),
        st.sampled_from([(), (0,), (1,), (5,), (3, 2), (4, 0, 3)]),
    ),
    max_size=6,
)


@given(BUFFERS, st.integers(1, 40))
def test_pieces_are_equal_and_fill_the_arrays_of_the_chief(
    forms: list[tuple[object, tuple[int, ...]]], piece_bytes: int
) -> None:
    random = np.random.default_rng(0)
    buffers = [
        np.frombuffer(random.bytes(int(np.prod(shape)) * np.dtype(kind).itemsize), kind).reshape(
            shape
        )
        for kind, shape in forms
    ]
    total = sum(buffer.nbytes for buffer in buffers)
    pieces = _pieces(buffers, piece_bytes)
    taken = [next(pieces) for _ in range(max(-(-total // piece_bytes), 1))]
    assert [len(piece) for piece in taken[:-1]] == [piece_bytes] * (len(taken) - 1)
    assert sum(map(len, taken)) == total
    # A rank with less to send than others goes on with nothing.
    assert [len(next(pieces)) for _ in range(3)] == [0, 0, 0]
    targets = [np.empty_like(buffer) for buffer in buffers]
    writer = Filler(targets)
    for piece in taken:
        writer.write(piece)
    for target, buffer in zip(targets, buffers, strict=True):
        assert bytes_of(target).tobytes() == buffer.tobytes()
