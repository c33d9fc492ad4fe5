"""What the engines of several processes share: agreements, pieces of bounded size, timeouts."""

from __future__ import annotations

import abc
import functools
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from disteval.backends.agreement import NOTHING, Agreement, PeerAgreement
from disteval.backends.base import Backend
from disteval.backends.prefetch import prefetch
from disteval.backends.pulse import own_pulse
from disteval.backends.status import Status
from disteval.backends.stream import Filler, bytes_of
from disteval.errors import ReplicaError

# The chief receives at most this many bytes in one collective, from all ranks together. Smaller
# pieces cost time, since a collective takes milliseconds whatever its size. Larger pieces cost
# memory, since sender and chief hold a copy of each.
PIECE_BYTES = 16 << 20

_T = TypeVar("_T")


class PeerBackend(Backend):
    """One of several processes. A subclass knows its rank, and how to send bytes (`_send`).

    Args:
        name: The name of the engine.
        strategy: The strategy under which the replicas of this process run.
        timeout: Seconds to wait for other ranks.
    """

    # The error to raise when a peer is gone.
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

        # While a piece is copied to its destination, the next one is being received.
        for received in prefetch(map(self._send_piece, pieces), check):
            land(received)
            del received  # so that the piece can be freed before the next one arrives
            waiting_since = time.monotonic()

    def broadcast(self, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [self._wait(functools.partial(self._broadcast, value)) for value in values]

    def _send_piece(self, piece: np.ndarray) -> list[np.ndarray]:
        """Sends bytes to the chief in one collective; on the chief, returns each rank's bytes."""
        return self._send(NOTHING, piece)[1]

    def _broadcast(self, value: np.ndarray) -> np.ndarray:
        own = bytes_of(np.ascontiguousarray(value)) if self.is_chief else NOTHING
        records, _ = self._send(own, NOTHING)
        return records[0].view(value.dtype).reshape(value.shape)

    def _agreement(self, status: Status) -> Agreement:
        pulse = own_pulse(self._host())
        return PeerAgreement(status, self._exchange, self.timeout, self._whereabouts(), pulse)

    def _host(self) -> str:
        """Returns a name or an address of this host that the other ranks know."""
        return socket.gethostname()

    def _whereabouts(self) -> Whereabouts:
        return Whereabouts()

    def _exchange(self, record: bytes, payload: np.ndarray) -> tuple[list[bytes], list[np.ndarray]]:
        records, payloads = self._send(np.frombuffer(record, np.uint8), payload)
        return [other.tobytes() for other in records], payloads

    def _run(self, collective: Callable[[], _T]) -> _T:
        """Runs a collective, and raises its failure as an error of this package."""
        try:
            return collective()
        except tf.errors.OpError as error:
            raise self.lost(
                f"A collective failed on rank {self.rank}, most likely since a peer is gone: it "
                "was killed, has failed elsewhere, or has ended without this callback. "
                f"{error.message}"
            ) from error

    def _wait(self, work: Callable[[], _T]) -> _T:
        """Waits for work that consists of collectives, for at most `timeout` seconds."""
        outcome: futures.Future[_T] = futures.Future()

        def run() -> None:
            try:
                outcome.set_result(work())
            except BaseException as error:
                outcome.set_exception(error)

        # A daemon thread, so that a collective that never ends cannot keep the process running.
        threading.Thread(target=run, name="disteval-collective", daemon=True).start()
        try:
            return outcome.result(self.timeout)
        except futures.TimeoutError:
            raise self._silence() from None

    def _silence(self) -> ReplicaError:
        return self.lost(
            f"A transfer on rank {self.rank} did not end within {self.timeout:g} s: a peer was "
            "killed or stopped."
        )


class Whereabouts:
    """Where each rank last waited, for the message of a timeout; not recorded by default."""

    def announce(self, step: str) -> None:
        """Records the step at which this rank waits."""

    def missing(self, step: str) -> str:
        """Returns a sentence that names the ranks that do not wait at this step."""
        return "The log of each rank tells where it is."


def _pieces(buffers: Iterable[np.ndarray], piece_bytes: int) -> Iterator[np.ndarray]:
    """Yields the bytes of all buffers in pieces of equal size, then empty pieces without end."""
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
