"""One process: a single device, or the replicas of `tf.distribute.MirroredStrategy`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from disteval.agreement import Agreement, Status

# Strategies whose replicas each have a device of this process.
WITH_DEVICES = (
    tf.distribute.MirroredStrategy,
    tf.distribute.MultiWorkerMirroredStrategy,
    tf.distribute.OneDeviceStrategy,
)


class Backend:
    """One process, and the interface of an engine with several.

    Attributes:
        name: The name of the engine.
        strategy: The `tf.distribute.Strategy` under which the replicas of this process run.
    """

    def __init__(self, name: str, strategy: Any) -> None:
        self.name = name
        self.strategy = strategy

    @property
    def rank(self) -> int:
        """The number of this process, from 0."""
        return 0

    @property
    def size(self) -> int:
        """The number of processes."""
        return 1

    @property
    def local_replicas(self) -> int:
        """The number of replicas of this process."""
        return len(local_devices(self.strategy))

    @property
    def num_replicas(self) -> int:
        """The number of replicas of all processes."""
        return self.size * self.local_replicas

    @property
    def is_chief(self) -> bool:
        """Whether this is rank 0, which receives the predictions and alone touches W&B."""
        return self.rank == 0

    @contextlib.contextmanager
    def together(self, step: str, same: dict[str, Any] | None = None) -> Iterator[Agreement]:
        """Runs a block on every rank, and goes on when all have ended it. A collective.

        Args:
            step: What the block does, in words.
            same: Facts that have to be equal on every rank.

        Yields:
            What the block can say to the other ranks, and what they have said after it.

        Raises:
            ReplicaError: The block failed on a rank, or a rank is silent; see `agreement.check`.
        """
        agreement = self._agreement(Status(self.rank, step, same or {}))
        error = None
        try:
            yield agreement
        except BaseException as failure:  # `conclude` tells the other ranks, and raises
            error = failure
        agreement.conclude(error)

    def agree(self, step: str, same: dict[str, Any] | None = None) -> None:
        """Finds out that all ranks are here. A collective."""
        with self.together(step, same):
            pass

    def gather(
        self,
        buffers: Iterable[np.ndarray],
        totals: Sequence[int],
        destinations: Sequence[Sequence[np.ndarray]],
    ) -> None:
        """Sends the bytes of `buffers` to the chief. A collective.

        Args:
            buffers: Contiguous arrays of any dtype that NumPy can view as bytes; none on the
                chief.
            totals: The number of bytes that each rank sends.
            destinations: On the chief, for each rank the contiguous arrays to fill, in the order
                in which it sends them.
        """

    def broadcast(self, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Gives every rank the chief's arrays, which have the same form everywhere."""
        return list(values)

    def _agreement(self, status: Status) -> Agreement:
        return Agreement(status)


def local_devices(strategy: Any) -> list[str | None]:
    """Returns the device of each replica of a strategy in this process; `None` is the default."""
    if isinstance(strategy, WITH_DEVICES):
        return list(strategy.extended.worker_devices)
    return [None] * int(strategy.num_replicas_in_sync)
