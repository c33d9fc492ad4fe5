"""One process: a single device, or the replicas of `tf.distribute.MirroredStrategy`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from disteval import agreement
from disteval.agreement import Status

# Where the bytes of each rank belong: for each rank, arrays to be filled one after the other.
Destinations = Callable[[Sequence[Status]], Sequence[Sequence[np.ndarray]]]


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
        return int(self.strategy.num_replicas_in_sync)

    @property
    def num_replicas(self) -> int:
        """The number of replicas of all processes."""
        return self.size * self.local_replicas

    @property
    def is_chief(self) -> bool:
        """Whether this is rank 0, which receives the predictions and alone touches W&B."""
        return self.rank == 0

    def agree(
        self,
        step: str,
        error: BaseException | None = None,
        *,
        same: dict[str, Any] | None = None,
        own: dict[str, Any] | None = None,
        data: bytes = b"",
    ) -> list[Status]:
        """Exchanges one status with all ranks, so that all go on or all raise. A collective.

        Args:
            step: Where this rank is, in words.
            error: What failed on this rank since the last agreement.
            same: Facts that have to be equal on every rank.
            own: Facts that the other ranks should know.
            data: Bytes that the other ranks should know.

        Returns:
            The status of each rank, in rank order.

        Raises:
            ReplicaError: Another rank failed, see `agreement.check`.
        """
        status = Status(self.rank, step, same or {}, own or {}, agreement.describe(error), data)
        statuses = [Status.decode(record) for record in self.exchange(status.encode())]
        agreement.check(statuses, error)
        return statuses

    @contextlib.contextmanager
    def together(self, step: str, same: dict[str, Any] | None = None) -> Iterator[None]:
        """Runs a block on every rank and agrees after it, whatever became of it. A collective.

        Args:
            step: What the block does, in words.
            same: Facts that have to be equal on every rank.
        """
        error = None
        try:
            yield
        except BaseException as failure:  # `agree` tells the other ranks, and raises it
            error = failure
        self.agree(step, error, same=same)

    def exchange(self, record: bytes) -> list[bytes]:
        """Gives every rank the record of each rank, in rank order. A collective."""
        return [record]

    def gather(
        self,
        status: Status,
        error: BaseException | None,
        buffers: Sequence[np.ndarray],
        destinations: Destinations,
    ) -> list[Status]:
        """Tells the status to all, and if all is well sends `buffers` to the chief. A collective.

        Args:
            status: What this rank tells all others, the chief included.
            error: What failed on this rank.
            buffers: Contiguous arrays of any dtype that NumPy can view as bytes. The chief sends
                none.
            destinations: Takes the statuses of all ranks, and may raise if every rank does. On the
                chief, returns for each rank the contiguous arrays to fill, in the order in which
                that rank sends them.

        Returns:
            The status of each rank, in rank order.

        Raises:
            ReplicaError: A rank failed, see `agreement.check`.
        """
        agreement.check([status], error)
        destinations([status])
        return [status]

    def broadcast(self, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Gives every rank the chief's arrays, which have the same form everywhere."""
        return list(values)
