"""What ranks tell each other, so that all of them go on or all of them raise.

A block that every rank runs ends in an `Agreement`. While it runs, each rank says once a second
that it is alive. A rank that failed sends its error instead of staying away, a rank that is
somewhere else says where, and only one that is dead or stopped says nothing: the others see that
within a known time, however long the block of a healthy rank takes.
"""

from __future__ import annotations

import dataclasses
import json
import threading
import time
import traceback
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from disteval import errors

# Seconds between two signs of life, and so until a failure is known to all.
BEAT_SECONDS = 1.0

# Gives every rank the record of each rank, and the chief also the payload of each, in rank order.
Exchange = Callable[[bytes, np.ndarray], tuple[list[bytes], list[np.ndarray]]]

NOTHING = np.empty(0, np.uint8)


@dataclasses.dataclass
class Status:
    """What one rank tells the others.

    Attributes:
        rank: The rank that speaks.
        step: Where it is, in words that fit into an error message.
        same: Facts that have to be equal on every rank.
        own: Facts of this rank.
        done: Whether its block has ended.
        progress: How far its block has come, in whatever it counts.
        error: `{"type", "module", "message", "traceback"}` of what failed there, or `None`.
        data: Bytes that are not text, such as fingerprints.
    """

    rank: int
    step: str
    same: dict[str, Any] = dataclasses.field(default_factory=dict)
    own: dict[str, Any] = dataclasses.field(default_factory=dict)
    done: bool = False
    progress: int = 0
    error: dict[str, str] | None = None
    data: bytes = b""

    def encode(self) -> bytes:
        """Returns the record as bytes, for the wire."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        data = fields.pop("data")
        head = zlib.compress(
            json.dumps(fields, default=lambda scalar: scalar.item()).encode(), level=1
        )
        return len(head).to_bytes(8, "little") + head + data

    @classmethod
    def decode(cls, record: bytes) -> Status:
        """Returns the status that `encode` made `record` of."""
        end = 8 + int.from_bytes(record[:8], "little")
        return cls(**json.loads(zlib.decompress(record[8:end])), data=record[end:])


class Agreement:
    """The end of a block that all ranks run; see `Backend.together`.

    Attributes:
        own: Facts that the block wants to tell the other ranks.
        data: Bytes that it wants to tell them.
        payload: Bytes for the chief; uint8.
        progress: How far the block has come, in whatever it counts.
        statuses: The status of each rank, once all have agreed.
        payloads: On the chief, the payload of each rank, once all have agreed.
    """

    def __init__(self, status: Status) -> None:
        self.own: dict[str, Any] = {}
        self.data = b""
        self.payload = NOTHING
        self.progress = 0
        self.statuses: list[Status] = []
        self.payloads: list[np.ndarray] = []
        self._status = status

    def check(self) -> None:
        """Raises if another rank has failed, so that this one need not go on."""

    def total_progress(self) -> int:
        """Returns the progress of all ranks, as far as it is known here."""
        others = [status.progress for status in self.statuses if status.rank != self._status.rank]
        return self.progress + sum(others)

    def conclude(self, error: BaseException | None) -> None:
        """Ends the block of this rank, waits for the others, and raises what is wrong anywhere."""
        if error is not None:
            raise error
        self.statuses, self.payloads = [self._final(None)], [self.payload]

    def _final(self, error: BaseException | None) -> Status:
        return dataclasses.replace(
            self._status, own=self.own, data=self.data, done=True, error=describe(error)
        )


class PeerAgreement(Agreement):
    """The same with several ranks.

    Args:
        status: What this rank says while its block runs.
        exchange: The collective; called on a thread, by every rank as often.
        timeout: Seconds to wait for a sign of life of all ranks.
        whereabouts: Where the ranks that wait say so, and which do not.
    """

    def __init__(
        self, status: Status, exchange: Exchange, timeout: float, whereabouts: Any
    ) -> None:
        super().__init__(status)
        self._exchange = exchange
        self._timeout = timeout
        self._whereabouts = whereabouts
        self._done = threading.Event()
        self._concluded = threading.Event()
        self._failure: BaseException | None = None
        self._waiting_since = time.monotonic()
        threading.Thread(target=self._beat, name="disteval-beat", daemon=True).start()

    def check(self) -> None:
        """Raises if another rank has failed, so that this one need not go on."""
        if self._concluded.is_set():
            self._raise(None)

    def conclude(self, error: BaseException | None) -> None:
        """Ends the block of this rank, waits for the others, and raises what is wrong anywhere."""
        if not self._done.is_set():
            self._status = self._final(error)
            self._done.set()
        announced = False
        while not self._concluded.wait(0.1):
            waited = time.monotonic() - self._waiting_since
            if not announced and waited > self._timeout / 2:
                self._whereabouts.announce(self._status.step)
                announced = True
            if waited > self._timeout:
                _raise_interrupt(error)
                raise errors.ReplicaError(
                    f"no answer in {self._status.step} for {waited:.0f} s (timeout="
                    f"{self._timeout:g}). {self._whereabouts.missing(self._status.step)} A rank "
                    "that was killed or stopped, or that has no such callback or has left "
                    "training, says nothing."
                ) from error
        self._raise(error)

    def _beat(self) -> None:
        try:
            going_on = True
            while going_on:
                self._done.wait(BEAT_SECONDS)
                status = dataclasses.replace(self._status, progress=self.progress)
                self._waiting_since = time.monotonic()
                payload = self.payload if status.done else NOTHING
                records, self.payloads = self._exchange(status.encode(), payload)
                self.statuses = [Status.decode(record) for record in records]
                going_on = _is_open(self.statuses)
        except BaseException as failure:
            self._failure = failure
        finally:
            self._concluded.set()

    def _raise(self, error: BaseException | None) -> None:
        if self._failure is not None:
            _raise_interrupt(error)
            raise self._failure from error
        check(self.statuses, error)


def _is_open(statuses: Sequence[Status]) -> bool:
    """Whether some rank is still at work, and nothing speaks against waiting for it."""
    one_place = all((s.step, s.same) == (statuses[0].step, statuses[0].same) for s in statuses)
    failed = any(status.error for status in statuses)
    return one_place and not failed and not all(status.done for status in statuses)


def describe(error: BaseException | None) -> dict[str, str] | None:
    """Returns what other ranks should know of `error`."""
    if error is None:
        return None
    return {
        "type": type(error).__name__,
        "module": type(error).__module__,
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
    _raise_interrupt(error)
    if error is not None and len(statuses) == 1:
        raise error
    failed = next((status for status in statuses if status.error), None)
    if failed is not None:
        _raise_failure(failed, len(statuses), error)
    _check_same(statuses)


def _raise_interrupt(error: BaseException | None) -> None:
    """Raises what ends this process, such as KeyboardInterrupt, once the others were told."""
    if error is not None and not isinstance(error, Exception):
        raise error


def _raise_failure(failed: Status, size: int, error: BaseException | None) -> None:
    assert failed.error is not None
    own = failed.error["module"] == errors.__name__
    kind = getattr(errors, failed.error["type"]) if own else None
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
