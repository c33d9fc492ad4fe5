"""Horovod: one process per replica. The only module that imports it."""

from __future__ import annotations

import contextlib
import os
import urllib.request
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import tensorflow as tf

from disteval.backends.peers import PeerBackend, Whereabouts
from disteval.errors import DistEvalError, ReplicaError
from disteval.wire import bytes_of

try:
    import horovod.tensorflow as hvd
    from horovod.common.exceptions import HorovodInternalError
except ImportError as error:
    raise DistEvalError(
        'backend="horovod" needs Horovod, which cannot be imported here: '
        f"{error}. `bash launch/setup.sh --horovod` builds it."
    ) from error

# Where `horovodrun --gloo` keeps a key-value store for its ranks.
_STORE = "HOROVOD_GLOO_RENDEZVOUS_ADDR"

# The store is a rank's neighbour, whatever proxy leads to the rest of the world.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

_T = TypeVar("_T")


class CollectiveError(ReplicaError, HorovodInternalError):
    """A peer is gone. Horovod's elastic training recovers from it, as from its own."""


class HorovodBackend(PeerBackend):
    """Ranks under `horovodrun`. Nothing about rank and size is kept: both may change."""

    lost = CollectiveError

    def __init__(self, timeout: float = 600) -> None:
        if not hvd.is_initialized():
            raise DistEvalError(
                'backend="horovod" needs an initialized Horovod. Call `hvd.init()` of '
                "horovod.tensorflow before the first evaluation, and start the script with "
                "`horovodrun`."
            )
        super().__init__("horovod", tf.distribute.get_strategy(), timeout)

    @property
    def rank(self) -> int:
        return int(hvd.rank())

    @property
    def size(self) -> int:
        return int(hvd.size())

    def _send(
        self, record: np.ndarray, payload: np.ndarray
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        length = np.array([len(record)], np.int64).view(np.uint8)
        to_others = np.concatenate([length, record])
        parts = self._alltoall(
            np.concatenate([to_others, payload] + [to_others] * (self.size - 1)),
            [len(to_others) + len(payload)] + [len(to_others)] * (self.size - 1),
        )
        ends = [8 + int(part[:8].view(np.int64)[0]) for part in parts]
        records = [part[8:end] for part, end in zip(parts, ends, strict=True)]
        return records, [part[end:] for part, end in zip(parts, ends, strict=True)]

    def _send_piece(self, piece: np.ndarray) -> list[np.ndarray]:
        return self._alltoall(piece, [len(piece)] + [0] * (self.size - 1))

    def _alltoall(self, data: np.ndarray, splits: list[int]) -> list[np.ndarray]:
        """Sends `splits[i]` bytes to rank i, and returns what each rank sent here."""
        # Not in a graph, which needs a thread of TensorFlow: a model may keep all of them busy.
        received, counts = self._run(lambda: hvd.alltoall(_tensor(data), splits=splits))
        return np.split(np.asarray(received), np.cumsum(counts)[:-1])

    def _broadcast(self, value: np.ndarray) -> np.ndarray:
        # Booleans and 16-bit floats as well: Horovod only sees bytes.
        sent = tf.constant(bytes_of(np.ascontiguousarray(value)))
        received = self._run(lambda: hvd.broadcast(sent, 0, name="disteval.broadcast"))
        return np.asarray(received).view(value.dtype).reshape(value.shape)

    def _run(self, collective: Callable[[], _T]) -> _T:
        # Horovod works on the host here; without this, a GPU build would want NCCL.
        with tf.device("/CPU:0"):
            return super()._run(collective)

    def _whereabouts(self) -> Whereabouts:
        return StoredWhereabouts(self.rank, self.size)


def _tensor(data: np.ndarray) -> tf.Tensor:
    """Returns bytes as a tensor; without a copy, where NumPy lets others have the memory."""
    if not len(data) or not data.flags.writeable:
        return tf.constant(data)
    return tf.experimental.dlpack.from_dlpack(data.__dlpack__())


class StoredWhereabouts(Whereabouts):
    """The same, kept in the key-value store of `horovodrun --gloo`, where there is one."""

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
                _opener.open(request, timeout=5).close()

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
            with _opener.open(f"{self._url}/{rank}", timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:  # including the 404 of a rank that never waited
            return None
