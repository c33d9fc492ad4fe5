"""The status records that ranks exchange, so that all of them go on or all of them raise.

Every collective of an evaluation is preceded by an exchange of statuses, or carries one. A rank
that failed sends its error instead of staying away, and a rank that is somewhere else says where.
"""

from __future__ import annotations

import dataclasses
import json
import traceback
import zlib
from collections.abc import Sequence
from typing import Any

from disteval import errors


@dataclasses.dataclass
class Status:
    """What one rank tells the others.

    Attributes:
        rank: The rank that speaks.
        step: Where it is, in words that fit into an error message.
        same: Facts that have to be equal on every rank.
        own: Facts of this rank.
        error: `{"type", "message", "traceback"}` of what failed there, or `None`.
        data: Bytes that are not text, such as fingerprints.
    """

    rank: int
    step: str
    same: dict[str, Any] = dataclasses.field(default_factory=dict)
    own: dict[str, Any] = dataclasses.field(default_factory=dict)
    error: dict[str, str] | None = None
    data: bytes = b""

    def encode(self) -> bytes:
        """Returns the record as bytes, for the wire."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        data = fields.pop("data")
        head = zlib.compress(json.dumps(fields).encode(), level=1)
        return len(head).to_bytes(8, "little") + head + data

    @classmethod
    def decode(cls, record: bytes) -> Status:
        """Returns the status that `encode` made `record` of."""
        end = 8 + int.from_bytes(record[:8], "little")
        return cls(**json.loads(zlib.decompress(record[8:end])), data=record[end:])


def describe(error: BaseException | None) -> dict[str, str] | None:
    """Returns what other ranks should know of `error`."""
    if error is None:
        return None
    return {
        "type": type(error).__name__,
        "message": str(error),
        "traceback": "".join(traceback.format_exception(error)),
    }


def check(statuses: Sequence[Status], error: BaseException | None = None) -> None:
    """Raises, on every rank alike, what the statuses of all ranks say is wrong.

    Args:
        statuses: One for each rank, in rank order.
        error: What failed on this rank; it becomes the cause of what is raised.

    Raises:
        ReplicaError: A rank failed. Where it failed with an error of this package, that type is
            raised instead, so that for instance a `DataError` is one everywhere.
        DistEvalError: The ranks are at different steps or disagree in a fact.
    """
    if error is not None and (len(statuses) == 1 or not isinstance(error, Exception)):
        raise error  # nobody else to tell, or an interrupt, which has been told by now
    failed = next((status for status in statuses if status.error), None)
    if failed is not None:
        _raise_failure(failed, len(statuses), error)
    _check_same(statuses)


def _raise_failure(failed: Status, size: int, error: BaseException | None) -> None:
    assert failed.error is not None
    kind = getattr(errors, failed.error["type"], None)
    if isinstance(error, errors.DistEvalError) and type(error) is kind:
        raise error
    message = f"rank {failed.rank} of {size} failed in {failed.step}: {failed.error['message']}"
    if kind is not None:
        raise kind(message) from error
    raise errors.ReplicaError(
        f"rank {failed.rank} of {size} failed in {failed.step} with {failed.error['type']}: "
        f"{failed.error['message']}\n\nTraceback of rank {failed.rank}:\n"
        f"{failed.error['traceback']}"
    ) from error


def _check_same(statuses: Sequence[Status]) -> None:
    facts = [{"step": status.step, **status.same} for status in statuses]
    for what in facts[0]:
        values = [fact.get(what) for fact in facts]
        if any(value != values[0] for value in values):
            lines = "\n".join(f"  rank {rank}: {value!r}" for rank, value in enumerate(values))
            raise errors.DistEvalError(
                f"the ranks are out of step: they differ in {what}:\n{lines}\n"
                "Every rank has to construct the callback with the same arguments, and to run "
                "the same epochs and steps."
            )
