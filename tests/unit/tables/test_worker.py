"""Jobs of a worker run in order, bounded in number, and no error is lost."""

from __future__ import annotations

import threading

import pytest

from disteval.tables.worker import Worker

MAX_WAITING = 2


def test_jobs_run_in_order_on_one_other_thread() -> None:
    worker, done, threads = Worker("test"), [], set()

    def job(number: int) -> None:
        done.append(number)
        threads.add(threading.current_thread())
        assert worker.is_current

    for number in range(20):
        worker.submit(lambda number=number: job(number))
    worker.drain()
    worker.raise_error()
    assert done == list(range(20))
    assert len(threads) == 1
    assert threading.current_thread() not in threads
    assert not worker.is_current


def test_synchronous_jobs_run_at_once_on_the_caller() -> None:
    worker, done = Worker("test", asynchronous=False), []
    worker.submit(lambda: done.append(threading.current_thread()))
    assert done == [threading.current_thread()]
    with pytest.raises(ValueError, match="mine"):
        worker.submit(_fail)


def test_submit_blocks_while_too_many_wait(caplog: pytest.LogCaptureFixture) -> None:
    worker = Worker("test", max_waiting=MAX_WAITING, warning=f"{MAX_WAITING} versions wait")
    go, running = threading.Event(), threading.Event()

    def first() -> None:
        running.set()
        go.wait(30)

    worker.submit(first)
    running.wait(30)
    for _ in range(MAX_WAITING):
        worker.submit(lambda: None)
    assert not caplog.records
    submitted = threading.Event()

    def submit_two_more() -> None:
        worker.submit(lambda: None)
        submitted.set()
        worker.submit(lambda: None)

    caller = threading.Thread(target=submit_two_more)
    caller.start()
    assert not submitted.wait(0.2)
    go.set()
    caller.join(30)
    assert submitted.is_set()
    worker.drain()
    (record,) = caplog.records
    assert f"{MAX_WAITING} versions wait" in record.getMessage()


def test_errors_are_raised_once_and_later_jobs_still_run() -> None:
    worker, done = Worker("test"), []
    worker.submit(_fail)
    worker.submit(lambda: done.append(1))
    worker.drain()
    assert done == [1]
    with pytest.raises(ValueError, match="mine"):
        worker.raise_error()
    worker.raise_error()


def test_call_waits_and_raises() -> None:
    worker, done = Worker("test"), []
    worker.call(lambda: done.append(1))
    assert done == [1]
    with pytest.raises(ValueError, match="mine"):
        worker.call(_fail)


def test_drain_on_the_workers_own_thread_returns() -> None:
    worker = Worker("test")
    worker.call(worker.drain)


def test_only_the_first_error_is_kept() -> None:
    worker, cause = Worker("test"), OSError("disk")
    worker.record(ValueError("first"), cause)
    worker.record(ValueError("second"))
    error = worker.take_error()
    assert str(error) == "first"
    assert error.__cause__ is cause
    assert worker.take_error() is None


def test_failures_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    worker = Worker("test")
    worker.submit(_fail)
    worker.drain()
    (record,) = caplog.records
    assert record.getMessage() == "A job of test failed."
    assert record.exc_info[1] is worker.take_error()


def test_drain_ends_when_jobs_stall() -> None:
    worker, go = Worker("test"), threading.Event()
    worker.submit(lambda: go.wait(30))
    assert not worker.is_idle
    checks = iter([False, False, True])
    assert not worker.drain(lambda: next(checks), 0.01)
    assert next(checks, None) is None
    go.set()
    assert worker.drain()
    assert worker.is_idle


def test_a_closed_worker_drops_its_jobs() -> None:
    worker, go, done = Worker("test"), threading.Event(), []
    worker.submit(lambda: go.wait(30))
    worker.submit(lambda: done.append("waited"))
    worker.close()
    worker.submit(lambda: done.append("late"))
    go.set()
    assert worker.drain()
    assert done == []


def test_nothing_to_drain() -> None:
    Worker("test").drain()


def _fail() -> None:
    raise ValueError("mine")


def test_the_thread_ends_and_starts_again() -> None:
    worker, done = Worker("test-stops"), []

    def threads() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "test-stops"]

    worker.stop()  # before there is any
    for number in range(3):
        worker.submit(lambda number=number: done.append(number))
        (thread,) = threads()
        worker.stop()
        worker.drain()
        thread.join(30)
        assert not threads()
    assert done == [0, 1, 2]


def test_no_job_is_lost_between_two_threads() -> None:
    worker, done = Worker("test"), []
    for number in range(500):
        worker.submit(lambda number=number: done.append(number))
        worker.stop()
    worker.drain()
    assert done == list(range(500))
