"""Horovod: one process per replica. The only module that imports it."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures
from typing import TypeVar

import numpy as np
import tensorflow as tf

from disteval.agreement import Agreement, PeerAgreement, Status
from disteval.backends.local import Backend
from disteval.errors import DistEvalError, ReplicaError
from disteval.wire import Writer, bytes_of

try:
    import horovod.tensorflow as hvd
    from horovod.common.exceptions import HorovodInternalError
except ImportError as error:
    raise DistEvalError(
        'backend="horovod" needs Horovod, which cannot be imported here: '
        f"{error}. `bash launch/setup.sh --horovod` builds it."
    ) from error

# Bytes that the chief receives in one alltoall, from all ranks together.
PIECE_BYTES = 16 << 20

# Where `horovodrun --gloo` keeps a key-value store for its ranks.
_STORE = "HOROVOD_GLOO_RENDEZVOUS_ADDR"

_T = TypeVar("_T")


class CollectiveError(ReplicaError, HorovodInternalError):
    """A peer is gone. Horovod's elastic training recovers from it, as from its own."""


class HorovodBackend(Backend):
    """Ranks under `horovodrun`. Nothing about rank and size is kept: both may change."""

    def __init__(self, timeout: float = 600) -> None:
        if not hvd.is_initialized():
            raise DistEvalError(
                'backend="horovod" needs an initialized Horovod. Call `hvd.init()` of '
                "horovod.tensorflow before the first evaluation, and start the script with "
                "`horovodrun`."
            )
        super().__init__("horovod", tf.distribute.get_strategy())
        self.timeout = timeout

    @property
    def rank(self) -> int:
        return int(hvd.rank())

    @property
    def size(self) -> int:
        return int(hvd.size())

    def gather(
        self,
        buffers: Iterable[np.ndarray],
        totals: Sequence[int],
        destinations: Sequence[Sequence[np.ndarray]],
    ) -> None:
        piece_bytes = max(PIECE_BYTES // self.size, 1)
        pieces = _pieces(buffers, piece_bytes)
        writers = [Writer(arrays) for arrays in destinations]
        for _ in range(-(-max(totals) // piece_bytes)):
            piece = next(pieces)
            splits = [len(piece)] + [0] * (self.size - 1)
            parts = self._wait(functools.partial(self._alltoall, piece, splits))
            for writer, part in zip(writers, parts, strict=False):
                writer.write(part)

    def broadcast(self, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [self._wait(functools.partial(self._broadcast, value)) for value in values]

    def _broadcast(self, value: np.ndarray) -> np.ndarray:
        # Booleans and 16-bit floats as well: Horovod only sees bytes.
        sent = tf.constant(bytes_of(np.ascontiguousarray(value)))
        received = self._run(lambda: hvd.broadcast(sent, 0, name="disteval.broadcast"))
        return np.asarray(received).view(value.dtype).reshape(value.shape)

    def _agreement(self, status: Status) -> Agreement:
        whereabouts = Whereabouts(self.rank, self.size)
        return PeerAgreement(status, self._exchange, self.timeout, whereabouts)

    def _exchange(self, record: bytes, payload: np.ndarray) -> tuple[list[bytes], list[np.ndarray]]:
        # One alltoall: the record goes to all ranks, the payload behind it to the chief.
        framed = np.frombuffer(len(record).to_bytes(8, "little") + record, np.uint8)
        parts = self._alltoall(
            np.concatenate([framed, payload] + [framed] * (self.size - 1)),
            [len(framed) + len(payload)] + [len(framed)] * (self.size - 1),
        )
        ends = [8 + int(part[:8].view(np.int64)[0]) for part in parts]
        records = [part[8:end].tobytes() for part, end in zip(parts, ends, strict=True)]
        return records, [part[end:] for part, end in zip(parts, ends, strict=True)]

    def _alltoall(self, data: np.ndarray, splits: list[int]) -> list[np.ndarray]:
        """Sends `splits[i]` bytes to rank i, and returns what each rank sent here."""
        received, counts = self._run(
            lambda: hvd.alltoall(tf.constant(data), splits=splits, name="disteval.alltoall")
        )
        return np.split(np.asarray(received), np.cumsum(counts)[:-1])

    def _run(self, collective: Callable[[], _T]) -> _T:
        try:
            # Horovod works on the host here; without this, a GPU build would want NCCL.
            with tf.device("/CPU:0"):
                return collective()
        except tf.errors.OpError as error:
            raise CollectiveError(
                f"a collective failed on rank {self.rank}, most likely since a peer is gone: "
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
            raise CollectiveError(
                f"a transfer on rank {self.rank} did not end within {self.timeout:g} s: a peer "
                "was killed or stopped."
            ) from None


class Whereabouts:
    """Where each rank was last seen waiting, for the message of a timeout.

    Kept in the key-value store of `horovodrun --gloo`, where there is one.
    """

    def __init__(self, rank: int, size: int) -> None:
        self._rank = rank
        self._size = size
        self._url = None
        if _STORE in os.environ:
            port = os.environ["HOROVOD_GLOO_RENDEZVOUS_PORT"]
            self._url = f"http://{os.environ[_STORE]}:{port}/disteval"

    def announce(self, step: str) -> None:
        """Writes down where this rank waits."""
        if self._url is not None:
            with contextlib.suppress(OSError):  # it is only for a better message
                request = urllib.request.Request(
                    f"{self._url}/{self._rank}", data=step.encode(), method="PUT"
                )
                urllib.request.urlopen(request, timeout=5).close()

    def missing(self, step: str) -> str:
        """Says in words which ranks do not wait at this step."""
        if self._url is None:
            return "Horovod's log names the ranks that are missing."
        lines = []
        for rank in range(self._size):
            seen = self._read(rank)
            if seen != step:
                lines.append(f"Rank {rank} is not there (it last waited at: {seen or 'nowhere'}).")
        return " ".join(lines)

    def _read(self, rank: int) -> str | None:
        try:
            with urllib.request.urlopen(f"{self._url}/{rank}", timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:  # including the 404 of a rank that never waited
            return None


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
                yield np.concatenate(parts)
                parts, room = [], piece_bytes
    yield np.concatenate([np.empty(0, np.uint8), *parts])
    while True:
        yield np.empty(0, np.uint8)
