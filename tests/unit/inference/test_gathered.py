"""Outputs survive the way from a batch on some rank into dataset order on the chief."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from disteval.errors import DataError
from disteval.inference import receipts, wire
from disteval.inference.gathered import Assembly, is_small, merged_leaves
from disteval.inference.outputs import OutputRows
from disteval.inference.shard import SMALL_BYTES, ShardReport, ShardResults

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


Shard = tuple[wire.Leaf, OutputRows]


def encoded(
    leaf: wire.Leaf,
    batches: Sequence[Sequence[np.ndarray]],
    rows: OutputRows | None = None,
    places: Sequence[int] = (),
) -> Shard:
    rows = rows or OutputRows()
    start = 0
    for batch in batches:
        count = len(batch[0])
        rows.append(np.array(places[start : start + count], np.int64), batch)
        start += count
    return rows.encode(leaf), rows


def results(index: Sequence[int], leaf: wire.Leaf, rows: OutputRows) -> ShardResults:
    """Returns what a rank evaluated that is not the chief; of one output."""
    made = ShardResults(None, is_chief=False)
    made.index = np.array(index, np.int64)
    if len(index):
        made.outputs, made.leaves = [rows], [leaf]
    return made


def assemble(indices: Indices, shards: Sequence[Shard]) -> np.ndarray:
    """Does in one process what the chief and the other ranks do together."""
    ranks = [results(index, *shard) for index, shard in zip(indices, shards, strict=True)]
    reports = [pickle.loads(pickle.dumps(rank.report(0.0))) for rank in ranks]
    assembly = Assembly(merged_leaves(reports), ranks[0], reports)
    for rank, targets in zip(ranks[1:], assembly.destinations[1:], strict=True):
        sent = b"".join(buffer.tobytes() for buffer in rank.buffers())
        for target in targets:
            received, sent = sent[: target.nbytes], sent[target.nbytes :]
            target.reshape(-1).view(np.uint8)[:] = np.frombuffer(received, np.uint8)
        assert not sent, "all that travels has a destination"
    (result,), _ = assembly.finish()
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
        store = OutputRows(None if spare is None else len(rows) + spare)
        components = [batch_of(kind, batch, dtype, inner) for batch in batches]
        places = numbers if rank == 0 else range(len(numbers))
        shards.append(encoded(leaf, components, store, places))
    got = assemble(indices, shards)
    stacked = kind == "dense" or (kind == "varying" and len({row.shape for row in rows}) == 1)
    assert_same_bits(got, np.stack(rows) if stacked else objects(rows))


@pytest.mark.parametrize("store", [OutputRows(), OutputRows(3)])
def test_ranks_with_rows_of_different_shapes_give_an_array_of_rows(store: OutputRows) -> None:
    mine, theirs = wire.Leaf("int32", (2,), 0), wire.Leaf("int32", (3,), 0)
    own = encoded(mine, [[np.array([[1, 2]], np.int32)]], store, [0])
    sent = encoded(theirs, [[np.arange(6, dtype=np.int32).reshape(2, 3)]])
    rows = assemble([[0], [1, 2]], [own, sent])
    assert [row.tolist() for row in rows] == [[1, 2], [0, 1, 2], [3, 4, 5]]


def test_dense_rows_in_order_go_straight_to_their_place() -> None:
    leaf = wire.Leaf("float32", (2,), 0)
    _, own = encoded(leaf, [[np.ones((2, 2), np.float32)]], OutputRows(7), [0, 1])
    assert not own.chunks
    theirs = ShardReport(
        [receipts.Stride(2, 3, 0, 1)], [leaf], [[("float32", (3, 2))]], True, 24, 6, 0.0
    )
    chief = results([0, 1], leaf, own)
    assembly = Assembly([leaf], chief, [chief.report(0.0), theirs])
    _, (target,) = assembly.destinations
    (result,), _ = assembly.finish()
    assert np.shares_memory(target, result)
    assert own.final is not None
    assert np.shares_memory(own.final, result)
    assert result.shape == (5, 2)
    assert result[:2].tolist() == [[1, 1], [1, 1]]


def test_the_chief_releases_its_rows_as_it_places_them() -> None:
    leaf = wire.Leaf("float32", (), 0)
    _, rows = encoded(leaf, [[np.zeros(2, np.float32)], [np.ones(1, np.float32)]])
    chief = results([0, 1, 2], leaf, rows)
    assembly = Assembly([leaf], chief, [chief.report(0.0)])
    assert not rows.chunks
    assert assembly.finish().rows[0].tolist() == [0, 0, 1]


def report(num_bytes: int, *leaves: wire.Leaf) -> ShardReport:
    return ShardReport([], list(leaves), [], True, num_bytes, 0, 0.0)


def test_rows_are_small_if_those_of_each_rank_are() -> None:
    assert is_small([report(0), report(SMALL_BYTES)])
    assert not is_small([report(0), report(SMALL_BYTES + 1)])


def test_leaves_are_those_of_the_ranks_that_have_some() -> None:
    known, unknown = wire.Leaf("float32", (2,), 0), wire.Leaf("float32", None, 0)
    assert merged_leaves([report(0), report(0, known)]) == [known]
    assert merged_leaves([report(0, known), report(0, unknown)]) == [unknown]
    assert merged_leaves([report(0), report(0)]) == []
    with pytest.raises(DataError, match="1 outputs on one rank and 2 on another"):
        merged_leaves([report(0, known), report(0, known, known)])
