"""The background thread: in order, bounded, and nothing swallowed."""

from __future__ import annotations

import threading

import pytest

from disteval.tables.writer import MAX_WAITING, Writer


def test_jobs_run_in_order_on_one_other_thread() -> None:
    writer, done, threads = Writer(True), [], set()

    def job(number: int) -> None:
        done.append(number)
        threads.add(threading.current_thread())
        assert writer.is_current

    for number in range(20):
        writer.submit(lambda number=number: job(number))
    writer.drain()
    writer.raise_error()
    assert done == list(range(20))
    assert len(threads) == 1
    assert threading.current_thread() not in threads
    assert not writer.is_current


def test_synchronous_jobs_run_at_once_on_the_caller() -> None:
    writer, done = Writer(False), []
    writer.submit(lambda: done.append(threading.current_thread()))
    assert done == [threading.current_thread()]
    with pytest.raises(ValueError, match="mine"):
        writer.submit(_fail)


def test_submit_blocks_while_too_many_wait(caplog: pytest.LogCaptureFixture) -> None:
    writer, go, running = Writer(True), threading.Event(), threading.Event()

    def first() -> None:
        running.set()
        go.wait(30)

    writer.submit(first)
    running.wait(30)
    for _ in range(MAX_WAITING):
        writer.submit(lambda: None)
    assert not caplog.records
    submitted = threading.Event()

    def submit_two_more() -> None:
        writer.submit(lambda: None)
        submitted.set()
        writer.submit(lambda: None)

    caller = threading.Thread(target=submit_two_more)
    caller.start()
    assert not submitted.wait(0.2)
    go.set()
    caller.join(30)
    assert submitted.is_set()
    writer.drain()
    (record,) = caplog.records
    assert f"{MAX_WAITING} versions wait" in record.getMessage()


def test_errors_are_raised_once_and_later_jobs_still_run() -> None:
    writer, done = Writer(True), []
    writer.submit(_fail)
    writer.submit(lambda: done.append(1))
    writer.drain()
    assert done == [1]
    with pytest.raises(ValueError, match="mine"):
        writer.raise_error()
    writer.raise_error()


def test_call_waits_and_raises() -> None:
    writer, done = Writer(True), []
    writer.call(lambda: done.append(1))
    assert done == [1]
    with pytest.raises(ValueError, match="mine"):
        writer.call(_fail)


def test_drain_on_the_writers_own_thread_returns() -> None:
    writer = Writer(True)
    writer.call(writer.drain)


def test_nothing_to_drain() -> None:
    Writer(True).drain()


def _fail() -> None:
    raise ValueError("mine")
