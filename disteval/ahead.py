"""Reading the next input while the present one is evaluated."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


def ahead(items: Iterable[T], check: Callable[[], None]) -> Iterator[T]:
    """Yields items that a thread reads, one ahead.

    Args:
        items: What the thread iterates over; what that raises is raised here.
        check: Called now and then while an item is waited for; may raise.
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
                del item  # it may be large, and the next one takes its time
                if stopped.is_set():
                    return
            put(("end", None))
        except BaseException as error:
            put(("error", error))

    # A daemon: input that never comes must not keep the process from ending.
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
