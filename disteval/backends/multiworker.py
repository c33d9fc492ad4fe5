"""`tf.distribute.MultiWorkerMirroredStrategy`: workers that `TF_CONFIG` describes.

Keras 3's own `fit` fails under this strategy ("Attempt to convert a value (PerReplica...)"). Train
with a loop of your own, or with Keras 2: `pip install tf-keras` and `TF_USE_LEGACY_KERAS=1`, as
`launch/multiworker.sh` does.
"""

from __future__ import annotations

import itertools
import os
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from disteval.backends.agreement import NOTHING
from disteval.backends.peers import PeerBackend
from disteval.errors import DistEvalError

# TensorFlow matches the calls of a collective by a group key and an instance number. A strategy
# numbers its collectives in the order in which they are called, on any thread. The collectives
# here have a group key of their own, so that those of a background thread are never matched with
# a strategy's.
_GROUP = 0x64697374
_numbers = itertools.count()


class _Place(NamedTuple):
    """The addresses of all tasks, by their type, and which of them this process is."""

    cluster: dict[str, list[str]]
    task_type: str
    task: int


class MultiWorkerBackend(PeerBackend):
    """A worker. Rank 0 is the chief, or worker 0 if the cluster has no chief.

    TensorFlow has no collective that gathers to one rank, so every worker receives the pieces of
    a gather, and all but the chief discard them.

    Args:
        strategy: The strategy; `None` before there is one. Rank and size are known even then.
        timeout: Seconds to wait for other workers.
    """

    def __init__(self, strategy: Any, timeout: float = 600) -> None:
        super().__init__("multiworker", strategy, timeout)
        known = strategy is not None
        place = _place_of(strategy.cluster_resolver) if known else _read_config()
        self._cluster, self._type, self._task = place

    @property
    def rank(self) -> int:
        return self._task if self._type == "chief" else self._num("chief") + self._task

    @property
    def size(self) -> int:
        # Without TF_CONFIG, this is the only worker.
        return max(self._num("chief") + self._num("worker"), 1)

    @property
    def local_replicas(self) -> int:
        if self.strategy is None:  # listing logical devices would create them too early
            return max(len(tf.config.get_visible_devices("GPU")), 1)
        return super().local_replicas

    def _num(self, task_type: str) -> int:
        return len(self._cluster.get(task_type, []))

    def _host(self) -> str:
        members = self._cluster.get(self._type, [])
        return members[self._task].rpartition(":")[0] if members else super()._host()

    def _send(
        self, record: np.ndarray, payload: np.ndarray
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        heads = self._allgather(np.array([self.rank, len(record), len(payload)], np.int64))
        sent = np.concatenate([record, payload])
        filled = np.zeros(
            heads[:, 1:].sum(axis=1).max(), np.uint8
        )  # all ranks have to send equally many bytes
        filled[: len(sent)] = sent
        rows = self._allgather(filled)
        records, payloads = [NOTHING] * self.size, [NOTHING] * self.size
        for (rank, first, second), row in zip(heads.tolist(), rows, strict=True):
            records[rank] = row[:first]
            if self.is_chief:
                payloads[rank] = row[first : first + second]
        return records, payloads

    def _allgather(self, row: np.ndarray) -> np.ndarray:
        """Stacks the rows of all ranks, of one shape and dtype, in an order that never changes."""
        return self._run(lambda: self._collective(row))

    def _collective(self, row: np.ndarray) -> np.ndarray:
        if self.strategy is None:
            raise DistEvalError(
                'There is no strategy. Received: backend="multiworker". Expected: a model that was '
                "built in the scope of a tf.distribute.MultiWorkerMirroredStrategy."
            )
        if self.size == 1:
            return row[np.newaxis]
        # Sent as 32-bit words, because TensorFlow's ring does not support bytes.
        words = np.zeros(-(-row.nbytes // 4), np.int32)
        words.view(np.uint8)[: row.nbytes] = row.view(np.uint8)
        with tf.device(f"/job:{self._type}/replica:0/task:{self._task}/device:CPU:0"):
            gathered = tf.raw_ops.CollectiveGatherV2(
                input=tf.constant(words),
                group_size=self.size,
                group_key=_GROUP,
                instance_key=next(_numbers),
                ordering_token=[],
            )
        stacked = np.asarray(gathered).reshape(self.size, -1).view(np.uint8)
        return stacked[:, : row.nbytes].view(row.dtype)


def describes_workers() -> bool:
    """Whether `TF_CONFIG` makes this process one of several workers."""
    return "TF_CONFIG" in os.environ and MultiWorkerBackend(None).size > 1


def _place_of(resolver: Any) -> _Place:
    cluster = resolver.cluster_spec().as_dict()
    # Without a cluster there is no index.
    return _Place(cluster, resolver.task_type or "", int(resolver.task_id) if cluster else 0)


def _read_config() -> _Place:
    """Returns the cluster, and the place of this process in it, as `TF_CONFIG` describes them.

    Raises:
        DistEvalError: `TF_CONFIG` is malformed, or this process is not in the cluster.
    """
    try:
        place = _place_of(tf.distribute.cluster_resolver.TFConfigClusterResolver())
        known = not place.cluster or (
            place.task_type in ("chief", "worker")
            and place.task in range(len(place.cluster.get(place.task_type, ())))
        )
    except Exception:  # TensorFlow raises whatever its code runs into
        known = False
    if not known:
        raise DistEvalError(
            "TF_CONFIG does not say which worker this is. "
            f"Received: {os.environ.get('TF_CONFIG')!r}. Expected: "
            '{"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": N}}, '
            "where N is an index into that list, as launch/multiworker.sh sets it."
        )
    return place
