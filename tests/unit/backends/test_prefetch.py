"""One item is read ahead, and no more."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from disteval.backends.prefetch import prefetch

SECONDS = 60  # until a test that hangs fails


def never() -> None:
    """Checks nothing."""


def test_items_come_in_order() -> None:
    assert list(prefetch(range(100), never)) == list(range(100))


def test_the_next_item_is_read_while_one_is_worked_on() -> None:
    read = [threading.Event() for _ in range(6)]

    def items() -> Iterator[int]:
        for i, event in enumerate(read):
            event.set()
            yield i

    reader = prefetch(items(), never)
    assert next(reader) == 0
    # One item waits, and the thread holds the one after it; it reads no further.
    assert read[2].wait(SECONDS)
    assert not read[3].is_set()
    assert list(reader) == [1, 2, 3, 4, 5]


def test_an_error_of_the_iteration_is_raised_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("the file is gone")

    reader = prefetch(items(), never)
    assert next(reader) == 1
    with pytest.raises(OSError, match="the file is gone"):
        next(reader)


def test_a_check_ends_the_wait_for_an_item_that_never_comes() -> None:
    ended = threading.Event()

    def items() -> Iterator[int]:
        ended.wait(SECONDS)
        yield 1

    def check() -> None:
        raise ValueError("a peer failed")

    with pytest.raises(ValueError, match="a peer failed"):
        next(prefetch(items(), check))
    ended.set()


def test_a_reader_that_is_closed_lets_the_thread_end() -> None:
    threads = threading.active_count()
    reader = prefetch(iter(range(10)), never)
    next(reader)
    reader.close()
    for thread in threading.enumerate():
        if thread.name == "disteval-input":
            thread.join(SECONDS)
    assert threading.active_count() <= threads
