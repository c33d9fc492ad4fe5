"""Faults to inject, so that a test can see what a client makes of them."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from enum import Enum


class Outcome(Enum):
    """What becomes of a request."""

    ANSWER = "answer"
    FAIL = "fail"
    LOSE = "lose"
    DROP = "drop"
    CLOSE = "close"
    CUT = "cut"


@dataclass
class Faults:
    """One plan of faults, which counts the requests that it is about from the time it is made.

    Attributes:
        only: Names of the requests that the plan is about; all, if empty. A name is a GraphQL
            operation, `file_stream`, `upload` or `download`.
        fail_first: So many requests fail with `status`.
        fail_fraction: This fraction of the requests fails with `status`; `seed` decides which.
        status: The HTTP status of a failure.
        lose_first: So many requests are carried out, and fail with `status` all the same: the
            answer is lost.
        delay: Seconds before each answer.
        drop_uploads: So many uploads get their connection closed when half of the body was read.
        gone_after: After so many requests, each further one gets its connection closed.
        close_first: So many requests get their connection closed.
        cut_first: So many requests are carried out, and get half of the body of their answer.
    """

    only: list[str] = field(default_factory=list)
    fail_first: int = 0
    lose_first: int = 0
    fail_fraction: float = 0.0
    seed: int = 0
    status: int = 500
    delay: float = 0.0
    drop_uploads: int = 0
    gone_after: int | None = None
    close_first: int = 0
    cut_first: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._random = random.Random(self.seed)
        self._requests = 0
        self._uploads = 0

    def next(self, name: str) -> Outcome:
        """Decides about one request."""
        if self.only and name not in self.only:
            return Outcome.ANSWER
        with self._lock:
            self._requests += 1
            self._uploads += name == "upload"
            unlucky = self._random.random() < self.fail_fraction
            is_gone = self.gone_after is not None and self._requests > self.gone_after
            if is_gone or self._requests <= self.close_first:
                return Outcome.CLOSE
            if name == "upload" and self._uploads <= self.drop_uploads:
                return Outcome.DROP
            if unlucky or self._requests <= self.fail_first:
                return Outcome.FAIL
            if self._requests <= self.lose_first:
                return Outcome.LOSE
            if self._requests <= self.cut_first:
                return Outcome.CUT
            return Outcome.ANSWER
