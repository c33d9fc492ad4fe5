"""What a rank tells of itself survives the wire; what is damaged or of another version is named."""

from __future__ import annotations

import pickle
import traceback
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

import disteval
from disteval.backends.status import Failure, Status, own_version
from disteval.errors import DistEvalError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
CONFIGS = st.dictionaries(st.text(), VALUES, max_size=3)
FAILURES = st.none() | st.builds(Failure, st.text(), st.text(), st.text(), st.text())


@given(
    st.builds(
        Status, st.integers(0), st.text(), CONFIGS, VALUES, st.booleans(), st.integers(0), FAILURES
    )
)
def test_a_status_survives_the_wire(status: Status) -> None:
    assert Status.decode(status.encode()) == status


@pytest.mark.parametrize("other", [b"0.0.9\n\x00", b"", b"pickled before there was a version"])
def test_a_rank_with_another_version_is_named(other: bytes) -> None:
    with pytest.raises(DistEvalError, match="different versions of disteval") as info:
        Status.decode(other)
    assert disteval.__version__ in str(info.value)
    assert ("0.0.9" in str(info.value)) == other.startswith(b"0")


@given(st.data())
def test_a_damaged_record_is_one_error(data: st.DataObject) -> None:
    record = bytearray(Status(1, "inference", {"batch_size": 32}).encode())
    head = len(record.partition(b"\n")[0]) + 1
    kind = data.draw(st.sampled_from(["flip", "cut", "other"]))
    if kind == "flip":
        place = data.draw(st.integers(head, len(record) - 1))
        record[place] ^= data.draw(st.integers(1, 255))
    elif kind == "cut":
        del record[data.draw(st.integers(head, len(record) - 1)) :]
    else:
        record[head:] = data.draw(st.binary(max_size=50))
    with pytest.raises(DistEvalError, match=r"cannot be read: .*Received: \d+ bytes"):
        Status.decode(bytes(record))


def test_a_record_of_something_else_is_an_error() -> None:
    record = own_version() + b"\n" + zlib.compress(pickle.dumps(["no", "status"]))
    with pytest.raises(DistEvalError, match="TypeError"):
        Status.decode(record)


def test_an_error_survives_the_wire() -> None:
    try:
        raise ValueError("a\nb")
    except ValueError as caught:
        error = caught
    status = Status.decode(Status(1, "inference", failure=Failure.of(error)).encode())
    text = "".join(traceback.format_exception(error))
    assert status.failure == Failure("ValueError", "builtins", "a\nb", text)
    assert "in test_an_error" in text
    assert Failure.of(None) is None
