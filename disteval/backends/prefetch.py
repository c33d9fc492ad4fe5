"""Reads items on a thread, ahead of the one that is being worked on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


def prefetch(items: Iterable[T], check: Callable[[], None]) -> Iterator[T]:
    """Yields items that a thread reads ahead.

    While the caller works on an item, the next one waits in a queue, and the thread reads the one
    after it. So at most three items are in memory.

    Args:
        items: What the thread iterates over. An error of the iteration is raised here, after the
            items that were read before it.
        check: Called twice a second while an item is awaited. If it raises, the wait ends.
    """
    read: queue.Queue[tuple[str, Any]] = queue.Queue(maxsize=1)
    stopped = threading.Event()

    def put(entry: tuple[str, Any]) -> None:
        while not stopped.is_set():
            try:
                return read.put(entry, timeout=0.1)
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                put(("item", item))
                del item  # so that it can be freed while the next one is read
                if stopped.is_set():
                    return
            put(("end", None))
        except BaseException as error:
            put(("error", error))

    # A daemon thread, so that input that never comes cannot keep the process from exiting.
    threading.Thread(target=work, name="disteval-input", daemon=True).start()
    try:
        while True:
            try:
                kind, value = read.get(timeout=0.5)
            except queue.Empty:
                check()
                continue
            if kind == "error":
                raise value
            if kind == "end":
                return
            yield value
            del value
    finally:
        stopped.set()
