"""The chief's background thread, on which tables are built while training goes on."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from disteval.errors import DistEvalError

logger = logging.getLogger("disteval")

# Versions that may wait for the writer, each with its predictions in memory.
MAX_WAITING = 2


class Writer:
    """Runs jobs one after the other on one thread, or at once on the caller's.

    Args:
        asynchronous: With `False`, `submit` runs the job itself.
    """

    def __init__(self, asynchronous: bool) -> None:
        self.asynchronous = asynchronous
        self._jobs: queue.Queue[Callable[[], None]] = queue.Queue(maxsize=MAX_WAITING)
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._said_that_it_blocks = False

    @property
    def is_current(self) -> bool:
        """Whether the caller runs on the writer's thread."""
        return threading.current_thread() is self._thread

    def submit(self, job: Callable[[], None]) -> None:
        """Runs a job after those before it; blocks while too many wait."""
        if not self.asynchronous:
            job()
            return
        if self._thread is None:
            # A daemon, since what was submitted is waited for by `drain`, before the run finishes:
            # when the interpreter waits for threads, W&B's service has ended.
            self._thread = threading.Thread(target=self._work, name="disteval", daemon=True)
            self._thread.start()
        if self._jobs.full() and not self._said_that_it_blocks:
            self._said_that_it_blocks = True
            logger.warning(
                "Building the prediction tables takes longer than training: %d versions wait, "
                "and training waits for them now. Log fewer samples (num_samples) or less often "
                "(log_freq), or use add_predictions with reference='row'.",
                MAX_WAITING,
            )
        self._jobs.put(job)

    def call(self, job: Callable[[], None]) -> None:
        """Runs a job after those before it, waits for it, and raises what it raised."""
        self.submit(job)
        self.drain()
        self.raise_error()

    def drain(self) -> None:
        """Waits until all jobs are done."""
        if self._thread is not None and not self.is_current:
            self._jobs.join()

    def raise_error(self) -> None:
        """Raises the first error of a job since the last call."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            try:
                job()
            except BaseException as error:
                # Raised at the next epoch's end or at the end of training; logged for the case
                # that neither comes.
                logger.error("The background writer failed.", exc_info=error)
                self._error = self._error or error
            finally:
                del job  # and with it a version's predictions, while no other job comes
                self._jobs.task_done()


def needs_main_thread(what: str) -> DistEvalError:
    """Returns the error for something that a hook cannot use on the writer's thread."""
    return DistEvalError(
        f"{what} was used in add_ground_truth or add_model_predictions, which run in the "
        "background while training goes on: its weights have moved on since the evaluation. Use "
        "self.predictions, compute more of it in postprocess, or construct the callback with "
        "asynchronous=False."
    )
