"""What ranks tell each other, so that all of them go on or all of them raise.

A block that every rank runs ends in an `Agreement`. While the block runs, each rank sends a sign of
life once a second. A rank that failed sends its error instead of staying away, and a rank that is
elsewhere says where. Only a rank that is dead or stopped is silent: the others notice that within
`timeout`, however long the block of a healthy rank takes. A rank that has yet to come to the block,
and computes until then, is waited for longer; see `pulse.py`.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from disteval import errors
from disteval.backends.pulse import Pulse, Watch
from disteval.backends.status import Failure, Status

logger = logging.getLogger("disteval")

# Seconds between two signs of life, and so until a failure is known to all ranks.
BEAT_SECONDS = 1.0

# A rank that computes something else is waited for so many times as long as a silent one.
PATIENCE = 10

# Gives every rank the record of each rank, and the chief also the payload of each, in rank order.
Exchange = Callable[[bytes, np.ndarray], tuple[list[bytes], list[np.ndarray]]]

NOTHING = np.empty(0, np.uint8)


class Agreement:
    """The end of a block that all ranks run; see `Backend.together`.

    Attributes:
        report: A dataclass that the block sets, for the other ranks.
        payload: Bytes that the block sets, for the chief; uint8.
        progress: How many samples the block has evaluated so far.
        reports: The report of each rank, in rank order; empty until all ranks have agreed.
        payloads: On the chief, the payload of each rank; empty until all ranks have agreed.
    """

    def __init__(self, status: Status) -> None:
        self.report: Any = None
        self.payload = NOTHING
        self.progress = 0
        self.payloads: list[np.ndarray] = []
        self._status = status
        self._statuses: list[Status] = []

    @property
    def reports(self) -> list[Any]:
        return [status.report for status in self._statuses]

    def check(self) -> None:
        """Raises if another rank has failed, so that this one need not go on."""

    def total_progress(self) -> int:
        """Returns the progress of all ranks, as far as this rank knows it."""
        others = [status.progress for status in self._statuses if status.rank != self._status.rank]
        return self.progress + sum(others)

    def conclude(self, error: BaseException | None) -> None:
        """Ends the block of this rank, waits for the other ranks, and raises the error of any."""
        if error is not None:
            raise error
        self._statuses, self.payloads = [self._final(None)], [self.payload]

    def _final(self, error: BaseException | None) -> Status:
        failure = Failure.of(error)
        return dataclasses.replace(self._status, report=self.report, done=True, failure=failure)


class PeerAgreement(Agreement):
    """An agreement of several ranks.

    Args:
        status: What this rank says while its block runs.
        exchange: The collective. A thread calls it, on every rank as often.
        timeout: Seconds to wait for a sign of life of all ranks.
        whereabouts: Where waiting ranks write down that they wait, and which ranks do not.
        pulse: The signs of life of this rank.
    """

    def __init__(
        self, status: Status, exchange: Exchange, timeout: float, whereabouts: Any, pulse: Pulse
    ) -> None:
        super().__init__(dataclasses.replace(status, address=pulse.address))
        self._exchange = exchange
        self._timeout = timeout
        self._whereabouts = whereabouts
        self._pulse = pulse
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
        """Ends the block of this rank, waits for the other ranks, and raises the error of any."""
        if not self._done.is_set():
            self._status = self._final(error)
            self._done.set()
        self._pulse.step = self._status.step
        try:
            self._wait(error)
        finally:
            self._pulse.step = ""
        self._raise(error)

    def _wait(self, error: BaseException | None) -> None:
        """Waits until all ranks have agreed; raises if one is silent."""
        watch: Watch | None = None
        has_warned = False
        while not self._concluded.wait(0.1):
            waited = time.monotonic() - self._waiting_since
            if waited < self._timeout / 2:
                watch = None  # all ranks have answered meanwhile
            elif watch is None:
                self._whereabouts.announce(self._status.step)
                watch = Watch(self._pulse, self._status.step)
            elif waited > self._timeout and watch.seconds > self._timeout / 2:
                busy = watch.busy() if waited < PATIENCE * self._timeout else []
                if not busy and not self._concluded.is_set():
                    self._raise_silence(waited, error)
                if busy and not has_warned:
                    has_warned = True
                    logger.warning(
                        "Waiting in %s for %.0f s: ranks %s compute something else, and are waited "
                        "for until %g s.",
                        self._status.step, waited, busy, PATIENCE * self._timeout
                    )  # fmt: skip
                watch = Watch(self._pulse, self._status.step)

    def _raise_silence(self, waited: float, error: BaseException | None) -> None:
        _raise_interrupt(error)
        raise errors.ReplicaError(
            f"no answer in {self._status.step} for {waited:.0f} s (timeout="
            f"{self._timeout:g}). {self._whereabouts.missing(self._status.step)} A silent "
            "rank most likely has no such callback: construct it on every rank, and pass "
            "it to `fit` there. Other causes: the rank was killed or stopped, or has left "
            "training."
        ) from error

    def _beat(self) -> None:
        try:
            going_on = True
            while going_on:
                self._done.wait(BEAT_SECONDS)
                status = dataclasses.replace(self._status, progress=self.progress)
                self._waiting_since = time.monotonic()
                payload = self.payload if status.done else NOTHING
                records, self.payloads = self._exchange(status.encode(), payload)
                self._statuses = [Status.decode(record) for record in records]
                self._pulse.peers = {
                    status.rank: status.address
                    for status in self._statuses
                    if status.address is not None and status.rank != self._status.rank
                }
                going_on = _is_open(self._statuses)
        except BaseException as failure:
            self._failure = failure
        finally:
            self._concluded.set()

    def _raise(self, error: BaseException | None) -> None:
        if self._failure is not None:
            _raise_interrupt(error)
            raise self._failure from error
        check(self._statuses, error)


def _is_open(statuses: Sequence[Status]) -> bool:
    """Whether some rank is still at work, and there is no reason to stop waiting for it."""
    one_place = all((s.step, s.config) == (statuses[0].step, statuses[0].config) for s in statuses)
    failed = any(status.failure for status in statuses)
    return one_place and not failed and not all(status.done for status in statuses)


def check(statuses: Sequence[Status], error: BaseException | None = None) -> None:
    """Raises, on every rank alike, the fault that the statuses of all ranks show.

    Args:
        statuses: One for each rank, in rank order.
        error: What failed on this rank. It becomes the cause of what is raised.

    Raises:
        ReplicaError: A rank failed. If it failed with an error of this package, that type is raised
            instead, so that for instance a `DataError` is a `DataError` on every rank.
        DistEvalError: The ranks are at different steps or differ in a setting.
    """
    _raise_interrupt(error)
    if error is not None and len(statuses) == 1:
        raise error
    for status in statuses:
        if status.failure is not None:
            _raise_failure(status, status.failure, len(statuses), error)
    _check_config(statuses)


def _raise_interrupt(error: BaseException | None) -> None:
    """Raises what ends this process, such as KeyboardInterrupt, once the others were told."""
    if error is not None and not isinstance(error, Exception):
        raise error


def _raise_failure(
    status: Status, failure: Failure, size: int, error: BaseException | None
) -> None:
    kind = getattr(errors, failure.type) if failure.module == errors.__name__ else None
    if isinstance(error, errors.DistEvalError) and type(error) is kind:
        raise error
    where = f"rank {status.rank} of {size} failed in {status.step}"
    if kind is not None:
        raise kind(f"{where}: {failure.message}") from error
    raise errors.ReplicaError(
        f"{where} with {failure.type}: {failure.message}\n\n"
        f"Traceback of rank {status.rank}:\n{failure.traceback}"
    ) from error


def _check_config(statuses: Sequence[Status]) -> None:
    configs = [{"step": status.step, **status.config} for status in statuses]
    for name in configs[0]:
        values = [config.get(name) for config in configs]
        if any(value != values[0] for value in values):
            lines = "\n".join(f"  rank {rank}: {value!r}" for rank, value in enumerate(values))
            raise errors.DistEvalError(
                f"the ranks are out of step: they differ in {name}:\n{lines}\n"
                "Every rank has to construct the callback with the same arguments, and to run "
                "the same epochs and steps."
            )
