"""One process: a single device, or the replicas of `tf.distribute.MirroredStrategy`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from disteval.backends.agreement import Agreement
from disteval.backends.base import Backend
from disteval.backends.status import Status


class LocalBackend(Backend):
    """The only rank of a job: it agrees with itself, and nothing travels."""

    @property
    def rank(self) -> int:
        return 0

    @property
    def size(self) -> int:
        return 1

    def gather(
        self,
        buffers: Iterable[np.ndarray],
        totals: Sequence[int],
        destinations: Sequence[Sequence[np.ndarray]],
    ) -> None:
        pass

    def broadcast(self, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        return list(values)

    def _agreement(self, status: Status) -> Agreement:
        return Agreement(status)
