"""Outputs survive the way from a batch on some rank into dataset order on the chief."""

from __future__ import annotations

import functools
import json
import mmap
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from disteval import wire
from disteval.assembly import MAPPED_BYTES, Assembly, Rows
from disteval.errors import DataError

DTYPES = ["float16", "float32", "float64", "bfloat16", "bool", "int8", "int16", "int32", "int64",
          "uint8", "uint16", "uint32", "uint64", "complex64"]  # fmt: skip
INNER = [(), (1,), (3,), (2, 2), (0,), (2, 0, 3)]
KINDS = ["dense", "varying", "ragged", "ragged of ragged"]
Indices = list[list[int]]


def objects(rows: Sequence[Any]) -> np.ndarray:
    result = np.empty(len(rows), object)
    for i, row in enumerate(rows):
        result[i] = row
    return result


def values(random: np.random.Generator, dtype: str, shape: Sequence[int]) -> np.ndarray:
    """Returns bit patterns of all sorts, NaN and infinity among them; or strings of any bytes."""
    if dtype == "string":
        texts = [random.bytes(random.integers(0, 4)) for _ in range(np.prod(shape, dtype=int))]
        return objects(texts).reshape(shape)
    if dtype == "bool":
        return random.integers(0, 2, shape).astype(bool)
    kind = np.dtype(tf.as_dtype(dtype).as_numpy_dtype)
    data = random.bytes(kind.itemsize * int(np.prod(shape)))
    return np.frombuffer(data, kind).reshape(shape)


def rows_of(kind: str, random: np.random.Generator, dtype: str, inner: Sequence[int]) -> Any:
    """Returns one row of an output, as the chief should receive it."""
    if kind == "ragged of ragged":
        parts = random.integers(0, 3)
        return objects([rows_of("ragged", random, dtype, inner) for _ in range(parts)])
    return values(random, dtype, inner if kind == "dense" else (random.integers(0, 4), *inner))


def batch_of(kind: str, rows: Sequence[Any], dtype: str, inner: Sequence[int]) -> list[np.ndarray]:
    """Returns the components of a batch of rows, as the loop returns them."""
    if kind in ("dense", "varying"):
        return [np.stack(rows)]
    flat, lengths = list(rows), []
    while kind.startswith("ragged"):
        lengths.append([len(row) for row in flat])
        flat = [part for row in flat for part in row]
        kind = kind.removeprefix("ragged").removeprefix(" of ")
    empty = np.empty((0, *inner), tf.as_dtype(dtype).as_numpy_dtype)
    # Not for strings of no dimension: NumPy would drop the zeros at their ends.
    stack = objects if flat and isinstance(flat[0], bytes) else np.stack
    tensor = tf.constant(stack(flat) if flat else empty, dtype)
    for level in reversed(lengths):
        tensor = tf.RaggedTensor.from_row_lengths(tensor, level)
    return [np.asarray(component) for component in wire.components(tensor)]


Shard = tuple[wire.Leaf, Rows]


def encoded(
    leaf: wire.Leaf,
    batches: Sequence[Sequence[np.ndarray]],
    rows: Rows | None = None,
    places: Sequence[int] = (),
) -> Shard:
    rows = rows or Rows()
    start = 0
    for batch in batches:
        count = len(batch[0])
        rows.append(np.array(places[start : start + count], np.int64), batch)
        start += count
    return rows.encode(leaf), rows


def assemble(indices: Indices, shards: Sequence[Shard]) -> np.ndarray:
    """Does on one process what the chief and the other ranks do together."""
    index, *others = [np.array(numbers, np.int64) for numbers in indices]
    leaves = [leaf for (leaf, _), numbers in zip(shards, indices, strict=True) if numbers]
    merged = functools.reduce(wire.Leaf.merged, leaves)
    own_leaf, own_rows = shards[0]
    own = [own_rows] if len(index) else []
    assembly = Assembly([merged], sum(map(len, indices)), index, [own_leaf], own)
    for numbers, (leaf, shard) in zip(others, shards[1:], strict=True):
        if not len(numbers):
            continue
        described = json.loads(json.dumps([shard.describe()]))
        sent = b"".join(buffer.tobytes() for buffer in shard.buffers())
        for target in assembly.destinations(numbers, [leaf], described):
            received, sent = sent[: target.nbytes], sent[target.nbytes :]
            target.reshape(-1).view(np.uint8)[:] = np.frombuffer(received, np.uint8)
        assert not sent, "all that travels has a destination"
    (result,) = assembly.finish()
    return result


def assert_same_bits(got: Any, want: Any) -> None:
    """NaN equals NaN of the same bits, and no dtype may have changed."""
    assert type(got) is type(want)
    if not isinstance(want, np.ndarray):
        assert got == want
        return
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    if want.dtype == object:
        for one, other in zip(got.reshape(-1), want.reshape(-1), strict=True):
            assert_same_bits(one, other)
    else:
        assert got.tobytes() == want.tobytes()


@st.composite
def distributions(draw: st.DrawFn) -> Indices:
    """Draws which samples each rank evaluates, some of them perhaps none."""
    count, ranks = draw(st.integers(1, 20)), draw(st.integers(1, 4))
    order = draw(st.permutations(range(count)) | st.just(range(count)))
    cuts = sorted(draw(st.lists(st.integers(0, count), min_size=ranks - 1, max_size=ranks - 1)))
    bounds = zip([0, *cuts], [*cuts, count], strict=True)
    return [list(order[start:stop]) for start, stop in bounds]


@settings(max_examples=300)
@given(
    st.sampled_from(KINDS),
    st.sampled_from([*DTYPES, "string"]),
    st.sampled_from(INNER),
    distributions(),
    st.integers(1, 5),
    st.none() | st.integers(0, 5),
    st.integers(0, 2**32 - 1),
)
def test_rows_of_all_ranks_come_back_in_dataset_order(
    kind: str,
    dtype: str,
    inner: tuple[int, ...],
    indices: Indices,
    batch_size: int,
    spare: int | None,
    seed: int,
) -> None:
    random = np.random.default_rng(seed)
    rows = [rows_of(kind, random, dtype, inner) for _ in range(sum(map(len, indices)))]
    ragged_rank = kind.count("ragged")
    leaf = wire.Leaf(dtype, None if kind == "varying" else inner, ragged_rank)
    if kind == "varying":
        batch_size = 1  # a dense batch has rows of one shape
    shards = []
    for rank, numbers in enumerate(indices):
        mine = [rows[i] for i in numbers]
        batches = [mine[i : i + batch_size] for i in range(0, len(mine), batch_size)]
        store = Rows(None if spare is None else len(rows) + spare)
        components = [batch_of(kind, batch, dtype, inner) for batch in batches]
        places = numbers if rank == 0 else range(len(numbers))
        shards.append(encoded(leaf, components, store, places))
    got = assemble(indices, shards)
    stacked = kind == "dense" or (kind == "varying" and len({row.shape for row in rows}) == 1)
    assert_same_bits(got, np.stack(rows) if stacked else objects(rows))


@pytest.mark.parametrize("store", [Rows(), Rows(3)])
def test_ranks_with_rows_of_different_shapes_give_an_array_of_rows(store: Rows) -> None:
    mine, theirs = wire.Leaf("int32", (2,), 0), wire.Leaf("int32", (3,), 0)
    _, own = encoded(mine, [[np.array([[1, 2]], np.int32)]], store, [0])
    assembly = Assembly([mine.merged(theirs)], 3, np.array([0]), [mine], [own])
    _, sent = encoded(theirs, [[np.arange(6, dtype=np.int32).reshape(2, 3)]])
    (target,) = assembly.destinations(np.array([1, 2]), [theirs], [sent.describe()])
    target[:] = np.concatenate(list(sent.buffers()))
    (rows,) = assembly.finish()
    assert [row.tolist() for row in rows] == [[1, 2], [0, 1, 2], [3, 4, 5]]


def test_dense_rows_in_order_go_straight_to_their_place() -> None:
    leaf = wire.Leaf("float32", (2,), 0)
    _, own = encoded(leaf, [[np.ones((2, 2), np.float32)]], Rows(7), [0, 1])
    assert not own.chunks
    assembly = Assembly([leaf], 5, np.arange(2), [leaf], [own])
    described = [[("float32", [3, 2])]]
    (target,) = assembly.destinations(np.array([2, 3, 4]), [leaf], described)
    (result,) = assembly.finish()
    assert np.shares_memory(target, result)
    assert own.final is not None
    assert np.shares_memory(own.final, result)
    assert result.shape == (5, 2)
    assert result[:2].tolist() == [[1, 1], [1, 1]]


def test_the_chief_releases_its_rows_as_it_places_them() -> None:
    leaf = wire.Leaf("float32", (), 0)
    _, rows = encoded(leaf, [[np.zeros(2, np.float32)], [np.ones(1, np.float32)]])
    assembly = Assembly([leaf], 3, np.arange(3), [leaf], [rows])
    assert not rows.chunks
    assert assembly.finish()[0].tolist() == [0, 0, 1]


@pytest.mark.parametrize("capacity", [None, 3])
def test_a_shape_that_the_graph_does_not_know_is_that_of_the_rows(capacity: int | None) -> None:
    unknown = wire.Leaf("float32", None, 0)
    batches = [[np.ones((2, 4), np.float32)], [np.ones((1, 4), np.float32)]]
    leaf, rows = encoded(unknown, batches, Rows(capacity), range(3))
    assert leaf == wire.Leaf("float32", (4,), 0)
    assert rows.describe() == [("float32", [3, 4])]


def test_large_pieces_are_memory_of_their_own() -> None:
    rows = Rows()
    values = np.arange(MAPPED_BYTES, dtype=np.int64)
    rows.append(np.arange(len(values)), [values])
    (copy,) = rows.chunks[0]
    assert isinstance(copy.base, mmap.mmap)
    np.testing.assert_array_equal(copy, values)


def test_a_ragged_output_cannot_change_the_shape_of_its_values() -> None:
    leaf = wire.Leaf("float32", None, 1)
    one, other = ([np.array([1]), np.zeros((1, width), np.float32)] for width in (2, 3))
    with pytest.raises(DataError, match=r"rows of shape \(3,\) after rows of shape \(2,\)"):
        encoded(leaf, [one, other])
