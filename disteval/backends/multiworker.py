"""`tf.distribute.MultiWorkerMirroredStrategy`: workers that `TF_CONFIG` describes."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from disteval.agreement import NOTHING
from disteval.backends.peers import PeerBackend

# Lengths are rounded up to powers of two from here on, since each length is a trace of its own.
MIN_WORDS = 1 << 10


class MultiWorkerBackend(PeerBackend):
    """A worker; rank 0 is the chief, or worker 0 where there is no chief.

    TensorFlow's collectives have no gather to one rank, so that the pieces of a gather pass
    through every worker; none keeps them but the chief.
    """

    def __init__(self, strategy: Any, timeout: float = 600) -> None:
        super().__init__("multiworker", strategy, timeout)
        self._resolver = strategy.cluster_resolver
        self._cluster: dict[str, list[str]] = self._resolver.cluster_spec().as_dict()

    @property
    def rank(self) -> int:
        before = 0 if self._resolver.task_type == "chief" else len(self._cluster.get("chief", []))
        return before + int(self._resolver.task_id)

    @property
    def size(self) -> int:
        return len(self._cluster.get("chief", [])) + len(self._cluster.get("worker", []))

    def _send(
        self, record: np.ndarray, payload: np.ndarray
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        lengths = np.array([len(record), len(payload)], np.int64).view(np.uint8)
        joined = self._run(lambda: self._allgather(np.concatenate([lengths, record, payload])))
        records, payloads = [], []
        for _ in range(self.size):
            first, second = (int(n) for n in joined[:16].view(np.int64))
            records.append(joined[16 : 16 + first])
            payloads.append(joined[16 + first : 16 + first + second] if self.is_chief else NOTHING)
            joined = joined[4 * _num_words(16 + first + second) :]
        return records, payloads

    def _allgather(self, data: np.ndarray) -> np.ndarray:
        """Joins the bytes of all ranks, each filled up to `_num_words`."""
        words = np.zeros(_num_words(len(data)), np.int32)
        words.view(np.uint8)[: len(data)] = data
        first = tf.constant(words)
        per_replica = self.strategy.experimental_distribute_values_from_function(
            lambda context: (
                first
                if context.replica_id_in_sync_group % self.local_replicas == 0
                else first[:0]  # one replica speaks for the process
            )
        )
        return np.asarray(self.strategy.gather(per_replica, axis=0)).view(np.uint8)


def _num_words(num_bytes: int) -> int:
    """Returns the number of int32 that so many bytes travel in."""
    return max(MIN_WORDS, 1 << (-(-num_bytes // 4) - 1).bit_length())
