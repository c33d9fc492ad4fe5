"""What a rank keeps of its shard, and what it reports."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

import disteval
from disteval.backends.agreement import Agreement
from disteval.backends.status import Status
from disteval.data.coercion import as_source
from disteval.data.sharding import WHOLE, Pace, Segment
from disteval.inference.functions import BatchFunctions
from disteval.inference.loop import Loop
from disteval.inference.progress import Progress
from disteval.inference.receipts import Stride
from disteval.inference.shard import SMALL_BYTES, ShardReport, ShardResults
from disteval.inference.wire import Leaf

keras = tf.keras
X = np.arange(30, dtype=np.float32).reshape(10, 3)
LEAVES = st.builds(
    Leaf, st.sampled_from(["float32", "string"]), st.none() | st.tuples(), st.just(1)
)
FORMS = st.lists(st.tuples(st.just("float32"), st.tuples(st.integers(0), st.integers(0))))


@given(
    st.builds(
        ShardReport,
        st.lists(st.builds(Stride, *[st.integers()] * 4)),
        st.lists(LEAVES),
        st.lists(FORMS),
        st.booleans(),
        st.integers(0),
        st.integers(0),
        st.floats(0, 100),
        st.floats(0, 100),
        st.none() | st.text(),
    )
)
def test_a_report_survives_the_wire(report: ShardReport) -> None:
    assert Status.decode(Status(0, "here", report=report).encode()).report == report


def evaluated(is_chief: bool, capacity: int | None) -> ShardResults:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Rescaling(2.0)])
    loop = Loop(model, BatchFunctions(), disteval.get_backend(model=model).strategy)
    source = as_source(X, batch_size=4)
    results = ShardResults(capacity, is_chief)
    agreement = Agreement(Status(0, "here"))
    results.run(loop, source.rounds(WHOLE, 1, Pace()), agreement, Progress(0, 10))
    assert agreement.progress == 10
    return results


@pytest.mark.parametrize("capacity", [None, 10, 12])
def test_a_report_says_what_is_sent(capacity: int | None) -> None:
    results = evaluated(is_chief=False, capacity=capacity)
    report = results.report(1.5, "10 samples")
    assert report == ShardReport(
        [Stride(0, 10, 0, 1)],
        [Leaf("float32", (3,), 0)],
        [[("float32", (10, 3))]],
        has_places=capacity is not None,
        num_bytes=X.nbytes,
        work=X.size,
        seconds=1.5,
        input_seconds=results.wait.seconds,
        extent="10 samples",
    )
    assert results.payload(report).tobytes() == (2 * X).tobytes()
    large = ShardReport([], [], [], True, SMALL_BYTES + 1, 0, 0.0)
    assert not len(results.payload(large))


def test_the_chief_sends_nothing() -> None:
    results = evaluated(is_chief=True, capacity=10)
    report = results.report(0.0)
    assert report.num_bytes == 0
    assert not len(results.payload(report))
    np.testing.assert_array_equal(results.outputs[0].final, 2 * X)


def test_a_rank_without_samples_reports_so() -> None:
    report = ShardResults(5, is_chief=False).report(0.0)
    assert report == ShardReport([], [], [], has_places=False, num_bytes=0, work=0, seconds=0.0)


def test_a_report_says_how_long_the_rank_waited_for_input() -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Rescaling(2.0)])
    loop = Loop(model, BatchFunctions(), disteval.get_backend(model=model).strategy)
    results = ShardResults(None, is_chief=True)

    def rounds() -> Iterator[list[Segment]]:
        while not results.wait.is_on:
            assert threading.main_thread().is_alive()
        yield [Segment(np.arange(1), X[:1], np.array([0, 1]))]

    results.run(loop, rounds(), Agreement(Status(0, "here")), Progress(0, None))
    assert results.report(1.5).input_seconds == results.wait.seconds > 0
    assert loop.pace.wait is results.wait


def test_a_shard_ends_when_a_peer_fails() -> None:
    class Failed(Agreement):
        def check(self) -> None:
            raise ValueError("a peer failed")

    def rounds() -> Iterator[list[Segment]]:
        yield [Segment(np.arange(1), X[:1], np.array([0, 1]))]
        raise AssertionError("read on")

    model = keras.Sequential([keras.Input((3,)), keras.layers.Rescaling(2.0)])
    loop = Loop(model, BatchFunctions(), disteval.get_backend(model=model).strategy)
    with pytest.raises(ValueError, match="a peer failed"):
        ShardResults(None, True).run(loop, rounds(), Failed(Status(0, "here")), Progress(0, None))
