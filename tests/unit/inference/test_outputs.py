"""The rows of one output, from the batches of a rank to the arrays that travel."""

from __future__ import annotations

import mmap
from collections.abc import Sequence

import numpy as np
import pytest

from disteval.errors import DataError
from disteval.inference import wire
from disteval.inference.outputs import MAPPED_BYTES, OutputRows, is_run, place


def encoded(
    leaf: wire.Leaf, batches: Sequence[Sequence[np.ndarray]], rows: OutputRows
) -> tuple[wire.Leaf, OutputRows]:
    start = 0
    for batch in batches:
        rows.append(np.arange(start, start + len(batch[0])), batch)
        start += len(batch[0])
    return rows.encode(leaf), rows


@pytest.mark.parametrize("capacity", [None, 3])
def test_a_shape_that_the_graph_does_not_know_is_that_of_the_rows(capacity: int | None) -> None:
    unknown = wire.Leaf("float32", None, 0)
    batches = [[np.ones((2, 4), np.float32)], [np.ones((1, 4), np.float32)]]
    leaf, rows = encoded(unknown, batches, OutputRows(capacity))
    assert leaf == wire.Leaf("float32", (4,), 0)
    assert rows.forms() == [("float32", (3, 4))]


def test_large_pieces_are_memory_of_their_own() -> None:
    rows = OutputRows()
    values = np.arange(MAPPED_BYTES, dtype=np.int64)
    rows.append(np.arange(len(values)), [values])
    (copy,) = rows.chunks[0]
    assert isinstance(copy.base, mmap.mmap)
    np.testing.assert_array_equal(copy, values)


def test_a_ragged_output_cannot_change_the_shape_of_its_values() -> None:
    leaf = wire.Leaf("float32", None, 1)
    one, other = ([np.array([1]), np.zeros((1, width), np.float32)] for width in (2, 3))
    with pytest.raises(DataError, match=r"rows of shape \(3,\) after rows of shape \(2,\)"):
        encoded(leaf, [one, other], OutputRows())


def test_rows_of_another_shape_turn_the_array_into_chunks() -> None:
    rows = OutputRows(5)
    rows.append(np.array([3, 1]), [np.array([[1], [2]])])
    assert rows.final is not None
    assert rows.final[[3, 1]].tolist() == [[1], [2]]
    rows.append(np.array([0]), [np.array([[7, 8]])])
    assert rows.final is None
    assert [chunk[0].tolist() for chunk in rows.chunks] == [[[1], [2]], [[7, 8]]]


@pytest.mark.parametrize(
    ("index", "run"), [([2], True), ([2, 3], True), ([3, 2], False), ([1, 3], False), ([], False)]
)
def test_rows_go_to_their_places(index: list[int], run: bool) -> None:
    places = np.array(index, np.int64)
    assert is_run(places) == run
    final = np.zeros(4, np.int64)
    place(final, places, places + 1)
    assert final[places].tolist() == [number + 1 for number in index]
    assert final.sum() == sum(number + 1 for number in index)
