"""What engines with several processes share: agreements, pieces of bounded size, time limits."""

from __future__ import annotations

import abc
import functools
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from disteval.agreement import NOTHING, Agreement, PeerAgreement, Status
from disteval.ahead import ahead
from disteval.backends.local import Backend
from disteval.errors import ReplicaError
from disteval.wire import Filler, bytes_of

# Bytes that the chief receives in one collective, from all ranks together. Each costs milliseconds
# whatever its size, and is in memory once more, on both sides.
PIECE_BYTES = 16 << 20

_T = TypeVar("_T")


class PeerBackend(Backend):
    """One of several processes. A subclass says who it is, and how bytes travel (`_send`).

    Args:
        name: The name of the engine.
        strategy: The strategy under which the replicas of this process run.
        timeout: Seconds to wait for other ranks.
    """

    # What is raised when a peer is gone.
    lost: type[ReplicaError] = ReplicaError

    def __init__(self, name: str, strategy: Any, timeout: float) -> None:
        super().__init__(name, strategy)
        self.timeout = timeout

    @abc.abstractmethod
    def _send(
        self, record: np.ndarray, payload: np.ndarray
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Sends bytes in one collective: `record` to all ranks, `payload` to the chief.

        Returns:
            The record of each rank and, on the chief, the payload of each rank.
        """

    def gather(
        self,
        buffers: Iterable[np.ndarray],
        totals: Sequence[int],
        destinations: Sequence[Sequence[np.ndarray]],
    ) -> None:
        piece_bytes = max(PIECE_BYTES // self.size, 1)
        count = -(-max(totals) // piece_bytes)
        pieces = itertools.islice(_pieces(buffers, piece_bytes), count)
        fillers = [Filler(arrays) for arrays in destinations]
        waiting_since = time.monotonic()

        def check() -> None:
            if time.monotonic() - waiting_since > self.timeout:
                raise self._silence()

        def land(parts: Sequence[np.ndarray]) -> None:
            for filler, part in zip(fillers, parts, strict=False):
                filler.write(part)

        # While a piece is written to its place, the next one is on its way.
        for received in ahead(map(self._send_piece, pieces), check):
            land(received)
            del received  # no name holds a piece while the next one is waited for
            waiting_since = time.monotonic()

    def broadcast(self, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [self._wait(functools.partial(self._broadcast, value)) for value in values]

    def _send_piece(self, piece: np.ndarray) -> list[np.ndarray]:
        """Sends bytes to the chief in one collective; there, returns those of each rank."""
        return self._send(NOTHING, piece)[1]

    def _broadcast(self, value: np.ndarray) -> np.ndarray:
        own = bytes_of(np.ascontiguousarray(value)) if self.is_chief else NOTHING
        records, _ = self._send(own, NOTHING)
        return records[0].view(value.dtype).reshape(value.shape)

    def _agreement(self, status: Status) -> Agreement:
        return PeerAgreement(status, self._exchange, self.timeout, self._whereabouts())

    def _whereabouts(self) -> Whereabouts:
        return Whereabouts()

    def _exchange(self, record: bytes, payload: np.ndarray) -> tuple[list[bytes], list[np.ndarray]]:
        records, payloads = self._send(np.frombuffer(record, np.uint8), payload)
        return [other.tobytes() for other in records], payloads

    def _run(self, collective: Callable[[], _T]) -> _T:
        """Runs a collective, and turns its failure into an error of this package."""
        try:
            return collective()
        except tf.errors.OpError as error:
            raise self.lost(
                f"a collective failed on rank {self.rank}, most likely since a peer is gone: it "
                "was killed, has failed elsewhere, or has ended without this callback. "
                f"{error.message}"
            ) from error

    def _wait(self, work: Callable[[], _T]) -> _T:
        """Waits for work that consists of collectives, `timeout` seconds at most."""
        outcome: futures.Future[_T] = futures.Future()

        def run() -> None:
            try:
                outcome.set_result(work())
            except BaseException as error:
                outcome.set_exception(error)

        # A daemon: a collective that never ends must not keep the process from ending.
        threading.Thread(target=run, name="disteval-collective", daemon=True).start()
        try:
            return outcome.result(self.timeout)
        except futures.TimeoutError:
            raise self._silence() from None

    def _silence(self) -> ReplicaError:
        return self.lost(
            f"a transfer on rank {self.rank} did not end within {self.timeout:g} s: a peer was "
            "killed or stopped."
        )


class Whereabouts:
    """Where each rank was last seen waiting, for the message of a timeout; here, nowhere."""

    def announce(self, step: str) -> None:
        """Writes down where this rank waits."""

    def missing(self, step: str) -> str:
        """Says in words which ranks do not wait at this step."""
        return "The log of each rank tells where it is."


def _pieces(buffers: Iterable[np.ndarray], piece_bytes: int) -> Iterator[np.ndarray]:
    """Yields the bytes of all buffers in pieces of equal size, and then empty ones for ever."""
    parts: list[np.ndarray] = []
    room = piece_bytes
    for buffer in buffers:
        data = bytes_of(buffer)
        while len(data):
            parts.append(data[:room])
            data = data[room:]
            room -= len(parts[-1])
            if not room:
                yield parts[0] if len(parts) == 1 else np.concatenate(parts)
                parts, room = [], piece_bytes
    yield np.concatenate([np.empty(0, np.uint8), *parts])
    while True:
        yield np.empty(0, np.uint8)
