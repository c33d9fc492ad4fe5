"""Reads items on a thread, ahead of the one that is being worked on."""

from __future__ import annotations

import collections
import dataclasses
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")
# Seconds between two checks while an item is awaited.
CHECK_SECONDS = 0.5


@dataclasses.dataclass
class Wait:
    """The wait for items that a thread reads ahead.

    Attributes:
        is_on: Whether an item is awaited now.
        seconds: How long items were awaited so far.
    """

    is_on: bool = False
    seconds: float = 0.0

    def __enter__(self) -> None:
        self.is_on, self._began = True, time.monotonic()

    def __exit__(self, *_: object) -> None:
        self.is_on = False
        self.seconds += time.monotonic() - self._began


def prefetch(
    items: Iterable[T],
    check: Callable[[], None],
    wait: Wait | None = None,
    *,
    limit: int = 1,
    size: Callable[[T], int] = lambda item: 1,
) -> Iterator[T]:
    """Yields items that a thread reads ahead.

    While the caller works on an item, the next ones wait in a queue, and the thread reads one more.

    Args:
        items: What the thread iterates over. An error of the iteration is raised here, after the
            items that were read before it.
        check: Called twice a second while an item is awaited. If it raises, the wait ends.
        wait: Tells how long items are awaited.
        limit: The size of all items in the queue, which holds one item even if that is larger.
        size: Returns the size of an item; by default, the limit is a number of items.
    """
    wait = wait or Wait()
    queue: collections.deque[tuple[str, Any, int]] = collections.deque()
    changed = threading.Condition()
    stopped = threading.Event()

    def put(kind: str, value: Any, taken: int = 0) -> None:
        def fits() -> bool:
            return not queue or taken + sum(taken for *_, taken in queue) <= limit

        with changed:
            changed.wait_for(lambda: stopped.is_set() or fits())
            queue.append((kind, value, taken))
            changed.notify_all()

    def work() -> None:
        try:
            for item in items:
                put("item", item, size(item))
                del item  # so that it can be freed while the next one is read
                if stopped.is_set():
                    return
            put("end", None)
        except BaseException as error:
            put("error", error)

    def is_ready(timeout: float) -> bool:
        with changed:
            return changed.wait_for(lambda: len(queue) > 0, timeout)

    def get() -> tuple[str, Any]:
        if not is_ready(0):
            with wait:
                while not is_ready(CHECK_SECONDS):
                    check()
        with changed:
            kind, value, _ = queue.popleft()
            changed.notify_all()
            return kind, value

    # A daemon thread, so that input that never comes cannot keep the process from exiting.
    threading.Thread(target=work, name="disteval-input", daemon=True).start()
    try:
        while True:
            kind, value = get()
            if kind == "error":
                raise value
            if kind == "end":
                return
            yield value
            del value
    finally:
        stopped.set()
        with changed:
            queue.clear()
            changed.notify_all()
