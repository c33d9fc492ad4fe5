"""The interface of an engine."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from disteval.backends.agreement import Agreement
from disteval.backends.status import Status

# Strategies of which each replica has a device of this process.
WITH_DEVICES = (
    tf.distribute.MirroredStrategy,
    tf.distribute.MultiWorkerMirroredStrategy,
    tf.distribute.OneDeviceStrategy,
)


class Backend(abc.ABC):
    """The ranks of a job, seen from one of them, and how they exchange bytes.

    Args:
        name: The name of the engine.
        strategy: The `tf.distribute.Strategy` under which the replicas of this process run.
    """

    def __init__(self, name: str, strategy: Any) -> None:
        self.name = name
        self.strategy = strategy

    @property
    @abc.abstractmethod
    def rank(self) -> int:
        """The number of this process, from 0."""

    @property
    @abc.abstractmethod
    def size(self) -> int:
        """The number of processes."""

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
    def together(self, step: str, config: dict[str, Any] | None = None) -> Iterator[Agreement]:
        """Runs a block on every rank, and goes on when all ranks have ended it. A collective.

        Args:
            step: What the block does, in words.
            config: Settings that have to be equal on every rank, by name.

        Yields:
            What the block can tell the other ranks, and after the block, what they told.

        Raises:
            ReplicaError: The block failed on a rank, or a rank is silent; see `agreement.check`.
        """
        agreement = self._agreement(Status(self.rank, step, config or {}))
        error = None
        try:
            yield agreement
        except BaseException as failure:  # `conclude` tells the other ranks, and raises
            error = failure
        agreement.conclude(error)

    def agree(self, step: str, config: dict[str, Any] | None = None) -> None:
        """Waits until all ranks are here. A collective."""
        with self.together(step, config):
            pass

    @abc.abstractmethod
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
                in which that rank sends them.
        """

    @abc.abstractmethod
    def broadcast(self, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Returns the chief's arrays on every rank. A collective.

        Args:
            values: Arrays whose shapes and dtypes are equal on every rank.
        """

    @abc.abstractmethod
    def _agreement(self, status: Status) -> Agreement:
        """Starts an agreement of all ranks, in which this one says `status`."""


def local_devices(strategy: Any) -> list[str | None]:
    """Returns the device of each replica of a strategy in this process; `None` is the default."""
    if isinstance(strategy, WITH_DEVICES):
        return list(strategy.extended.worker_devices)
    return [None] * int(strategy.num_replicas_in_sync)
