"""Horovod: one process per replica. The only module that imports it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import tensorflow as tf

from disteval import agreement
from disteval.agreement import Status
from disteval.backends.local import Backend, Destinations
from disteval.errors import DistEvalError, ReplicaError

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

    def exchange(self, record: bytes) -> list[bytes]:
        framed = np.frombuffer(len(record).to_bytes(8, "little") + record, np.uint8)
        joined = self._wait(lambda: hvd.allgather(tf.constant(framed), name="disteval.exchange"))
        return list(_unframe(np.asarray(joined)))

    def gather(
        self,
        status: Status,
        error: BaseException | None,
        buffers: Sequence[np.ndarray],
        destinations: Destinations,
    ) -> list[Status]:
        # The first alltoall carries the status to all ranks and the first piece to the chief:
        # a small evaluation is over after it.
        piece_bytes = max(PIECE_BYTES // self.size, 1)
        sender = _pieces(buffers, piece_bytes)
        record = status.encode()
        total = sum(buffer.nbytes for buffer in buffers)
        frame = np.frombuffer(
            len(record).to_bytes(8, "little") + total.to_bytes(8, "little") + record, np.uint8
        )
        to_chief = np.concatenate([frame, next(sender)])
        received, counts = self._alltoall(
            np.concatenate([to_chief] + [frame] * (self.size - 1)),
            [len(to_chief)] + [len(frame)] * (self.size - 1),
        )
        statuses, totals, first = [], [], []
        for message in np.split(received, np.cumsum(counts)[:-1]):
            length, payload = (int(n) for n in message[:16].view(np.int64))
            statuses.append(Status.decode(message[16 : 16 + length].tobytes()))
            totals.append(payload)
            first.append(message[16 + length :])
        agreement.check(statuses, error)
        writers = [_Writer(arrays) for arrays in destinations(statuses)]
        for writer, piece in zip(writers, first, strict=False):
            writer.write(piece)
        for _ in range(1, -(-max(totals) // piece_bytes)):
            piece = next(sender)
            received, counts = self._alltoall(piece, [len(piece)] + [0] * (self.size - 1))
            parts = np.split(received, np.cumsum(counts)[:-1])
            for writer, part in zip(writers, parts, strict=False):
                writer.write(part)
        return statuses

    def broadcast(self, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [self._broadcast(value) for value in values]

    def _broadcast(self, value: np.ndarray) -> np.ndarray:
        return np.asarray(
            self._wait(
                lambda: hvd.broadcast(tf.constant(value), root_rank=0, name="disteval.broadcast")
            )
        )

    def _alltoall(self, data: np.ndarray, splits: list[int]) -> tuple[np.ndarray, np.ndarray]:
        received, counts = self._wait(
            lambda: hvd.alltoall(tf.constant(data), splits=splits, name="disteval.gather")
        )
        return np.asarray(received), np.asarray(counts)

    def _wait(self, collective: Callable[[], _T]) -> _T:
        try:
            # Horovod works on the host here; without this, a GPU build would want NCCL for it.
            with tf.device("/CPU:0"):
                return collective()
        except tf.errors.OpError as error:
            raise CollectiveError(f"a collective failed on rank {self.rank}: {error}") from error


class _Writer:
    """Fills arrays one after the other from a stream of bytes."""

    def __init__(self, arrays: Sequence[np.ndarray]) -> None:
        self._targets: Iterator[np.ndarray] = (_bytes_of(array) for array in arrays)
        self._target: np.ndarray = np.empty(0, np.uint8)

    def write(self, piece: np.ndarray) -> None:
        while len(piece):
            if not len(self._target):
                self._target = next(self._targets)
            count = min(len(piece), len(self._target))
            self._target[:count] = piece[:count]
            self._target, piece = self._target[count:], piece[count:]


def _bytes_of(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1).view(np.uint8)


def _unframe(joined: np.ndarray) -> Iterator[bytes]:
    while len(joined):
        end = 8 + int(joined[:8].view(np.int64)[0])
        yield joined[8:end].tobytes()
        joined = joined[end:]


def _pieces(buffers: Sequence[np.ndarray], piece_bytes: int) -> Iterator[np.ndarray]:
    """Yields the bytes of all buffers in pieces of equal size, and then empty ones for ever."""
    parts: list[np.ndarray] = []
    room = piece_bytes
    for buffer in buffers:
        data = _bytes_of(buffer)
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
