"""`Worker`: a background thread that runs jobs in order, and keeps their first error."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

logger = logging.getLogger("disteval")


class Worker:
    """Runs jobs one after the other on its own thread.

    Args:
        name: Name of the thread.
        asynchronous: With `False`, `submit` runs the job on the caller's thread.
        max_waiting: How many jobs may wait; 0 for any number.
        warning: Logged when `submit` has to wait for the first time.
    """

    def __init__(
        self, name: str, asynchronous: bool = True, max_waiting: int = 0, warning: str = ""
    ) -> None:
        self._asynchronous = asynchronous
        self._name = name
        # `None` asks the thread to end.
        self._jobs: queue.Queue[Callable[[], None] | None] = queue.Queue(max_waiting)
        self._warning = warning
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()  # of the thread
        self._error: BaseException | None = None
        self._closed = False

    @property
    def is_current(self) -> bool:
        """Whether the caller is a job on the thread of this worker."""
        return threading.current_thread() is self._thread

    @property
    def has_thread(self) -> bool:
        """Whether the thread runs: when the interpreter exits, none can be started any more."""
        return self._thread is not None

    @property
    def is_idle(self) -> bool:
        """Whether all jobs are done."""
        return not self._jobs.unfinished_tasks

    def submit(self, job: Callable[[], None]) -> None:
        """Runs a job after the earlier ones; blocks while too many wait."""
        if not self._asynchronous:
            job()
            return
        if self._jobs.full() and self._warning:
            logger.warning(self._warning)
            self._warning = ""
        self._jobs.put(job)
        with self._lock:
            if self._thread is None:
                # A daemon: the interpreter would wait for any other thread, but only after W&B's
                # service has ended. `drain` waits for the jobs before that.
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Ends the thread once its jobs are done; a later job starts another."""
        if self._thread is not None and not self.is_current:
            self._jobs.put(None)

    def call(self, job: Callable[[], None]) -> None:
        """Runs a job after the earlier ones, waits for it, and raises the first error."""
        self.submit(job)
        self.drain()
        self.raise_error()

    def drain(
        self, is_stalled: Callable[[], bool] = lambda: False, poll_seconds: float | None = None
    ) -> bool:
        """Waits until all jobs are done, but not on the thread of this worker.

        Returns:
            `False` if `is_stalled`, which is called every `poll_seconds`, has ended the wait.
        """
        while not self.is_idle and not self.is_current:
            if is_stalled():
                return False
            with self._jobs.all_tasks_done:
                self._jobs.all_tasks_done.wait_for(lambda: self.is_idle, poll_seconds)
        return True

    def close(self) -> None:
        """Drops all jobs that have not begun, and all later ones."""
        self._closed = True

    def record(self, error: BaseException, cause: BaseException | None = None) -> None:
        """Keeps an error, unless there is an earlier one."""
        error.__cause__ = cause or error.__cause__
        self._error = self._error or error

    def take_error(self) -> BaseException | None:
        """Returns the first error since the last call; `None` if nothing failed."""
        error, self._error = self._error, None
        return error

    def raise_error(self) -> None:
        """Raises the first error since the last call."""
        if (error := self.take_error()) is not None:
            raise error

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            try:
                if job is None:
                    with self._lock:
                        if self._jobs.empty():
                            self._thread = None
                            return
                elif not self._closed:
                    job()
            except BaseException as error:
                # Logged as well, in case training ends before the error is raised.
                logger.error("A job of %s failed.", self._name, exc_info=error)
                self.record(error)
            finally:
                del job  # frees the predictions that it holds, even if no other job comes
                self._jobs.task_done()
