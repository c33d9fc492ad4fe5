"""What ranks tell each other, and what each of them raises when one of them failed."""

from __future__ import annotations

import traceback
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from disteval.agreement import Status, check, describe
from disteval.errors import DataError, DistEvalError, ReplicaError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
FACTS = st.dictionaries(st.text(), JSON)


@given(st.builds(Status, st.integers(0), st.text(), FACTS, FACTS, data=st.binary()))
def test_a_status_survives_the_wire(status: Status) -> None:
    assert Status.decode(status.encode()) == status


def raised(error: BaseException) -> BaseException:
    """Returns the error with a traceback, as a rank would have caught it."""
    try:
        raise error
    except BaseException as caught:
        return caught


def test_an_error_survives_the_wire() -> None:
    error = raised(ValueError("a\nb"))
    status = Status.decode(Status(1, "inference", error=describe(error)).encode())
    assert status.error == {
        "type": "ValueError",
        "message": "a\nb",
        "traceback": "".join(traceback.format_exception(error)),
    }
    assert "in raised" in status.error["traceback"]
    assert describe(None) is None


def outcomes(errors: Sequence[BaseException | None], step: str = "inference") -> list[object]:
    """Returns what `check` raises on each rank, given what failed there."""
    statuses = [
        Status.decode(Status(rank, step, error=describe(error)).encode())
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


def test_ranks_that_agree_may_differ_in_facts_of_their_own() -> None:
    check([Status(rank, "a", {"n": [1, 2]}, own={"rank": rank}) for rank in range(3)])


def test_a_failure_says_more_than_a_disagreement() -> None:
    failure = raised(ValueError("no such file"))
    statuses = [Status(0, "epoch 1"), Status(1, "epoch 2", error=describe(failure))]
    with pytest.raises(ReplicaError, match="no such file"):
        check(statuses)
