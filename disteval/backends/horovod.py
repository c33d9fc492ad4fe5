"""Horovod: one process for each replica. No other module imports Horovod."""

from __future__ import annotations

import contextlib
import http.client
import os
import urllib.request
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import tensorflow as tf

from disteval import errors
from disteval.backends.peers import PeerBackend, Whereabouts
from disteval.backends.stream import bytes_of
from disteval.errors import DistEvalError

try:
    import horovod.tensorflow as hvd
    from horovod.common.exceptions import HorovodInternalError
except ImportError as error:
    raise DistEvalError(
        f'Horovod cannot be imported: {error}. Received: backend="horovod". Expected: an '
        "environment with Horovod; `bash launch/setup.sh --horovod` builds one."
    ) from error

# The environment variable with the host of the key-value store that `horovodrun --gloo` runs.
_STORE = "HOROVOD_GLOO_RENDEZVOUS_ADDR"

# What a store can answer with instead of what it was asked for.
_NO_ANSWER = (OSError, http.client.HTTPException, UnicodeDecodeError)

# Without a proxy, because the store runs on a host of the job.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

_T = TypeVar("_T")


def initialize() -> None:
    """Starts Horovod in a process that is to be a rank, with one GPU if there is any."""
    hvd.init()
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:  # a launcher may show each rank only its own
        gpu = gpus[hvd.local_rank() % len(gpus)]
        tf.config.set_visible_devices(gpu, "GPU")
        tf.config.experimental.set_memory_growth(gpu, True)


class CollectiveError(errors.CollectiveError, HorovodInternalError):
    """A peer is gone. Horovod's elastic training recovers from this as from its own error."""


class HorovodBackend(PeerBackend):
    """A rank under `horovodrun`. Rank and size are never stored: elastic training changes them."""

    lost = CollectiveError

    def __init__(self, timeout: float = 600) -> None:
        if not hvd.is_initialized():
            raise DistEvalError(
                'Horovod is not initialized. Received: backend="horovod". Expected: `hvd.init()` '
                "of horovod.tensorflow is called before the first evaluation, in a script that "
                "`horovodrun` starts."
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
        """Sends `splits[i]` bytes to rank i, and returns the bytes that each rank sent here."""
        # Run eagerly: a graph needs a thread of TensorFlow's, and a model may keep all of them
        # busy.
        received, counts = self._run(lambda: hvd.alltoall(_tensor(data), splits=splits))
        return np.split(np.asarray(received), np.cumsum(counts)[:-1])

    def _broadcast(self, value: np.ndarray) -> np.ndarray:
        # Sent as bytes, because Horovod does not support all dtypes.
        sent = tf.constant(bytes_of(np.ascontiguousarray(value)))
        received = self._run(lambda: hvd.broadcast(sent, 0, name="disteval.broadcast"))
        return np.asarray(received).view(value.dtype).reshape(value.shape)

    def _run(self, collective: Callable[[], _T]) -> _T:
        # The bytes are on the host. Without this, a build for GPUs would require NCCL.
        with tf.device("/CPU:0"):
            return super()._run(collective)

    def _host(self) -> str:
        return os.environ.get("HOROVOD_HOSTNAME") or super()._host()  # not set by mpirun

    def _whereabouts(self) -> Whereabouts:
        return StoredWhereabouts(self.rank, self.size)


def _tensor(data: np.ndarray) -> tf.Tensor:
    """Returns bytes as a tensor, without a copy if the array is writable."""
    if not len(data) or not data.flags.writeable:
        return tf.constant(data)
    return tf.experimental.dlpack.from_dlpack(data.__dlpack__())


class StoredWhereabouts(Whereabouts):
    """Where each rank last waited, in the key-value store of `horovodrun --gloo` if it runs."""

    def __init__(self, rank: int, size: int) -> None:
        self._rank = rank
        self._size = size
        self._url = None
        if _STORE in os.environ:
            port = os.environ["HOROVOD_GLOO_RENDEZVOUS_PORT"]
            self._url = f"http://{os.environ[_STORE]}:{port}/disteval"

    def announce(self, step: str) -> None:
        """Records the step at which this rank waits."""
        if self._url is not None:
            with contextlib.suppress(*_NO_ANSWER):  # it only improves an error message
                request = urllib.request.Request(
                    f"{self._url}/{self._rank}", data=step.encode(), method="PUT"
                )
                _opener.open(request, timeout=5).close()

    def missing(self, step: str) -> str:
        """Returns a sentence that names the ranks that do not wait at this step."""
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
        except _NO_ANSWER:  # including the 404 of a rank that never waited
            return None
