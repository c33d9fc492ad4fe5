"""What ranks tell each other, and what each of them raises when one of them failed."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from disteval.backends import agreement
from disteval.backends.agreement import NOTHING, PeerAgreement, check
from disteval.backends.pulse import Pulse
from disteval.backends.status import Failure, Status
from disteval.errors import DataError, DistEvalError, ReplicaError


@dataclasses.dataclass(frozen=True)
class Report:
    """What a rank reports here."""

    rank: int


def raised(error: BaseException) -> BaseException:
    """Returns the error with a traceback, as a rank would have caught it."""
    try:
        raise error
    except BaseException as caught:
        return caught


def outcomes(errors: Sequence[BaseException | None], step: str = "inference") -> list[object]:
    """Returns what `check` raises on each rank, given what failed there."""
    statuses = [
        Status.decode(Status(rank, step, failure=Failure.of(error)).encode())
        for rank, error in enumerate(errors)
    ]
    results: list[object] = []
    for error in errors:
        try:
            check(statuses, error)
        except BaseException as caught:
            results.append(caught)
        else:
            results.append(None)
    return results


@pytest.mark.parametrize("size", [1, 4])
def test_nobody_failed(size: int) -> None:
    assert outcomes([None] * size) == [None] * size


def test_a_failure_is_a_replica_error_on_every_rank() -> None:
    failure = raised(ValueError("no such file"))
    found = outcomes([None, failure, None])
    for error in found:
        assert type(error) is ReplicaError
        assert "rank 1 of 3 failed in inference with ValueError: no such file" in str(error)
        assert "Traceback of rank 1:" in str(error)
        assert "in raised" in str(error)
    assert [error.__cause__ for error in found] == [None, failure, None]


def test_an_error_of_this_package_keeps_its_type_everywhere() -> None:
    failure = raised(DataError("unequal lengths"))
    first, second, third = outcomes([None, failure, None])
    assert second is failure
    for error in (first, third):
        assert type(error) is DataError
        assert str(error) == "rank 1 of 3 failed in inference: unequal lengths"


def test_the_same_error_of_this_package_on_all_ranks_stays_as_it_is() -> None:
    failures = [raised(DataError(f"unequal lengths {rank}")) for rank in range(3)]
    assert outcomes(failures) == failures


def test_the_first_rank_that_failed_counts() -> None:
    failures = [None, raised(ValueError("first")), raised(DataError("second"))]
    for error, cause in zip(outcomes(failures), failures, strict=True):
        assert type(error) is ReplicaError
        assert "rank 1 of 3 failed in inference with ValueError: first" in str(error)
        assert error.__cause__ is cause


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_stays_one_where_it_happened(kind: type[BaseException]) -> None:
    failure = raised(kind())
    found = outcomes([None, failure])
    assert type(found[0]) is ReplicaError
    assert f"rank 1 of 2 failed in inference with {kind.__name__}" in str(found[0])
    assert found[1] is failure


def test_a_lone_rank_raises_what_failed() -> None:
    failure = raised(ValueError("no such file"))
    assert outcomes([failure]) == [failure]


@pytest.mark.parametrize(
    ("statuses", "what", "values"),
    [
        ([Status(0, "epoch 1"), Status(1, "epoch 2")], "step", ["'epoch 1'", "'epoch 2'"]),
        ([Status(0, "a", {"n": 3}), Status(1, "a", {"n": 4})], "n", ["3", "4"]),
        ([Status(0, "a", {"n": 3}), Status(1, "a")], "n", ["3", "None"]),
        ([Status(0, "a", {"m": 1}), Status(1, "b", {"m": 2})], "step", ["'a'", "'b'"]),
    ],
)
def test_ranks_that_disagree(statuses: list[Status], what: str, values: list[str]) -> None:
    with pytest.raises(DistEvalError, match=f"out of step: they differ in {what}:") as info:
        check(statuses)
    for rank, value in enumerate(values):
        assert f"  rank {rank}: {value}\n" in str(info.value)


def test_ranks_that_agree_may_differ_in_their_reports() -> None:
    check([Status(rank, "a", {"n": [1, 2]}, report=Report(rank)) for rank in range(3)])


def test_a_failure_says_more_than_a_disagreement() -> None:
    failure = raised(ValueError("no such file"))
    statuses = [Status(0, "epoch 1"), Status(1, "epoch 2", failure=Failure.of(failure))]
    with pytest.raises(ReplicaError, match="no such file"):
        check(statuses)


class Meeting:
    """Ranks on threads: what one says reaches all of them when all have spoken."""

    def __init__(self, ranks: int) -> None:
        self.ranks = ranks
        self.many_beats = threading.Event()
        self._meetings = 0
        self._barrier = threading.Barrier(ranks, self._count)
        self._said: list[tuple[bytes, np.ndarray]] = [(b"", NOTHING)] * ranks

    def exchange(self, rank: int) -> agreement.Exchange:
        def exchange(record: bytes, payload: np.ndarray) -> tuple[list[bytes], list[np.ndarray]]:
            self._said[rank] = (record, payload)
            self._barrier.wait()
            records, payloads = (list(said) for said in zip(*self._said, strict=True))
            self._barrier.wait()  # nobody speaks again before all have listened
            return records, payloads if rank == 0 else [NOTHING] * self.ranks

        return exchange

    def join(self, rank: int, step: str = "here", timeout: float = 60) -> PeerAgreement:
        status, exchange = Status(rank, step), self.exchange(rank)
        return PeerAgreement(status, exchange, timeout, Whereabouts(), Pulse("127.0.0.1"))

    def together(self, block: Callable[[int], Any]) -> list[Any]:
        """Runs a block for each rank, and returns what each returns."""
        with ThreadPoolExecutor(self.ranks) as pool:
            return list(pool.map(block, range(self.ranks)))

    def abandon(self) -> None:
        """Releases who still waits for others."""
        self._barrier.abort()

    def _count(self) -> None:
        self._meetings += 1
        if self._meetings == 300:
            self.many_beats.set()


class Whereabouts:
    """Where ranks say that they wait."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def announce(self, step: str) -> None:
        self.seen.append(step)

    def missing(self, step: str) -> str:
        return f"Announced: {self.seen}."


@pytest.fixture
def fast_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "BEAT_SECONDS", 0.01)


def test_peers_learn_what_each_of_them_says() -> None:
    meeting = Meeting(3)

    def block(rank: int) -> tuple[list[Report], list[bytes]]:
        mine = meeting.join(rank)
        mine.report = Report(rank)
        mine.payload = np.full(rank, rank, np.uint8)
        mine.conclude(None)
        return mine.reports, [payload.tobytes() for payload in mine.payloads]

    results = meeting.together(block)
    expected = [Report(rank) for rank in range(3)]
    assert [reports for reports, _ in results] == [expected] * 3
    assert results[0][1] == [b"", b"\x01", b"\x02\x02"]
    assert results[1][1] == results[2][1] == [b""] * 3, "payloads are for the chief"


@pytest.mark.usefixtures("fast_beat")
def test_a_rank_at_work_learns_that_another_failed() -> None:
    meeting = Meeting(2)

    def block(rank: int) -> str:
        mine = meeting.join(rank)
        try:
            if rank == 1:
                mine.conclude(raised(ValueError("no such file")))
            while True:  # work without end, but for what `check` raises
                mine.check()
        except ReplicaError as error:
            return str(error)

    for message in meeting.together(block):
        assert "rank 1 of 2 failed in here with ValueError: no such file" in message


@pytest.mark.usefixtures("fast_beat")
def test_a_rank_at_work_may_take_longer_than_the_timeout() -> None:
    meeting = Meeting(2)

    def block(rank: int) -> int:
        mine = meeting.join(rank, timeout=1)
        if rank == 1:
            assert meeting.many_beats.wait(60)
        mine.conclude(None)
        return len(mine.reports)

    # A beat is two meetings at the barrier: 150 of 0.01 s take longer than the timeout.
    assert meeting.together(block) == [2, 2]


@pytest.mark.usefixtures("fast_beat")
def test_ranks_at_different_steps_need_not_wait_for_each_other() -> None:
    meeting = Meeting(2)

    def block(rank: int) -> None:
        mine = meeting.join(rank, step=f"epoch {rank}")
        with pytest.raises(DistEvalError, match="differ in step"):
            mine.conclude(None)

    meeting.together(block)


def test_a_rank_that_says_nothing_is_missed() -> None:
    meeting = Meeting(2)
    mine = meeting.join(0, timeout=0.2)
    with pytest.raises(ReplicaError, match=r"no answer in here .*timeout=0\.2.*\['here'\]") as info:
        mine.conclude(None)
    assert "A silent rank most likely has no such callback: construct it on every" in str(
        info.value
    )
    meeting.abandon()


def test_a_collective_that_fails_is_raised() -> None:
    def broken(record: bytes, payload: np.ndarray) -> tuple[list[bytes], list[np.ndarray]]:
        raise ReplicaError("a peer is gone")

    mine = PeerAgreement(Status(0, "here"), broken, 60, Whereabouts(), Pulse("127.0.0.1"))
    own = raised(ValueError("no such file"))
    with pytest.raises(ReplicaError, match="a peer is gone") as info:
        mine.conclude(own)
    assert info.value.__cause__ is own


@pytest.mark.parametrize("peer", ["gone", "silent"])
def test_an_interrupt_stays_one_though_nobody_hears_of_it(peer: str) -> None:
    meeting = Meeting(2)

    def exchange(record: bytes, payload: np.ndarray) -> tuple[list[bytes], list[np.ndarray]]:
        if peer == "gone":
            raise ReplicaError("a peer is gone")
        return meeting.exchange(0)(record, payload)

    mine = PeerAgreement(Status(0, "here"), exchange, 0.2, Whereabouts(), Pulse("127.0.0.1"))
    with pytest.raises(KeyboardInterrupt):
        mine.conclude(raised(KeyboardInterrupt()))
    meeting.abandon()
