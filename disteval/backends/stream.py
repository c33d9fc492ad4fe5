"""Arrays as one stream of bytes: the bytes of an array, and arrays filled from a stream."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class Filler:
    """Fills arrays one after the other from a stream of bytes."""

    def __init__(self, arrays: Sequence[np.ndarray]) -> None:
        self._targets = (bytes_of(array) for array in arrays)
        self._target = np.empty(0, np.uint8)

    def write(self, piece: np.ndarray) -> None:
        """Takes the next bytes of the stream; uint8."""
        while len(piece):
            if not len(self._target):
                self._target = next(self._targets)
            count = min(len(piece), len(self._target))
            self._target[:count] = piece[:count]
            self._target, piece = self._target[count:], piece[count:]


def bytes_of(array: np.ndarray) -> np.ndarray:
    """Returns the bytes of a contiguous array, without a copy."""
    return array.reshape(-1).view(np.uint8)
