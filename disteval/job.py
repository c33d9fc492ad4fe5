"""What all ranks of a job do together: before training, in an evaluation, and after training."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from disteval.backends.base import Backend
from disteval.backends.choice import get_backend
from disteval.errors import DistEvalError
from disteval.inference.session import DataReport, Session
from disteval.schedule import Schedule
from disteval.tables.publisher import Publisher, own_run, run_identity
from disteval.tables.version import Version
from disteval.validation import ValidationLogs

logger = logging.getLogger("disteval")


@dataclasses.dataclass(frozen=True)
class StartReport:
    """What a rank reports when training begins.

    Attributes:
        data: What the ranks compare of data and model; `None` without data.
        batches: How many batches the model was trained on before.
        run: What it takes to resume the W&B run; `None` on a rank that does not know the run.
        own_run: The ID of a W&B run that is this rank's own; `None` if there is none.
    """

    data: DataReport | None
    batches: int
    run: dict[str, Any] | None
    own_run: str | None


# The jobs of this process that have begun, until the first epoch begins or they end. Two with one
# name belong to one training; later, they could belong to a training that has failed.
_starting: weakref.WeakSet[Job] = weakref.WeakSet()


@dataclasses.dataclass(eq=False)
class Job:
    """The part of one rank in what all ranks do together; each method is a collective.

    Args:
        session: What to evaluate; `None` without sharded inference.
        publisher: What the chief logs.
        schedule: When to evaluate.
        validation: The metrics of the validation data.
        backend, timeout: See `DistEvalCallback`.
        assess: On the chief, computes metrics for the logs from the predictions of a version;
            `None` if there are none.

    Attributes:
        epoch: The epoch that is being trained, or has just ended.
        has_begun: Whether `begin` was called, and `end` was not.
    """

    session: Session | None
    publisher: Publisher
    schedule: Schedule
    validation: ValidationLogs
    backend: str
    timeout: float
    assess: Callable[[Version], dict[str, float]] | None = None

    def __post_init__(self) -> None:
        self.epoch = 0
        self.has_begun = False
        self._run_identity: dict[str, Any] | None = None
        self._warned_of_runs = False

    def begin(self, model: Any, logs: dict[str, float] | None) -> None:
        """Checks data and model on every rank, and logs the ground-truth table on the chief."""
        try:
            self._begin(model, logs)
        except BaseException:
            _starting.clear()  # the whole training has failed
            raise
        self.has_begun = True
        _starting.add(self)

    def _begin(self, model: Any, logs: dict[str, float] | None) -> None:
        backend = self._backend_of(model)
        self.validation.begin()
        step = self.publisher.names.step
        with backend.together(step("on_train_begin"), self._config()) as agreement:
            self._check_name()
            knows_run = backend.is_chief or self._run_identity is not None
            run = (run_identity() or self._run_identity) if knows_run else None
            if backend.is_chief:
                self.publisher.check_run(run)
            agreement.report = StartReport(
                data=self.session.prepare(backend, model) if self.session else None,
                batches=max(self.schedule.batches, batches_of(model)),
                run=run,
                own_run=None if backend.is_chief else own_run(),
            )
        reports: list[StartReport] = agreement.reports
        if self.session is not None:
            of_data = [report.data for report in reports if report.data is not None]
            self.session.agree(backend, model, of_data)
        # A rank that has joined an elastic job has counted no batches.
        self.schedule.resume(max(report.batches for report in reports))
        self._run_identity = next((report.run for report in reports if report.run), None)
        with backend.together(step("add_ground_truth")):
            if backend.is_chief:
                self.publisher.begin(self._run_identity, logs)
                self._warn_of_runs([report.own_run for report in reports])
            if self.session is not None:
                self.session.check()

    def begin_epoch(self, model: Any, epoch: int) -> None:
        """Records the epoch, and checks that all ranks are in it."""
        self.epoch = epoch
        _starting.discard(self)
        self.schedule.start_epoch()
        # Without this, a rank that has left training or is an epoch ahead would be a hang.
        self._backend_of(model).agree(self.publisher.names.step(f"the begin of epoch {epoch}"))

    def evaluate(
        self,
        model: Any,
        unit: str,
        number: int,
        logs: dict[str, float] | None,
        aliases: Sequence[str] = (),
    ) -> None:
        """Evaluates on every rank, and publishes a version with these aliases on the chief."""
        backend = self._backend_of(model)
        names = self.publisher.names
        step = names.step(f"the evaluation of {unit} {number}")
        # 1. A new version, now, so that the last one's predictions can be freed.
        version = Version.start(unit, number, self.epoch, self.schedule.batches, logs, names)
        version.aliases += aliases
        self.publisher.newest = version
        # 2. All ranks evaluate, or raise what has failed on one of them in the background.
        error = self.publisher.take_error()
        if self.session is not None:
            evaluation = self.session.evaluate(
                backend,
                model,
                step,
                config=self._config(),
                earlier_error=error,
                validate=self.validation.is_wanted,
            )
            version.add(evaluation, backend)
            metrics = self._assessed(backend, step, version) | evaluation.metrics
            version.add_logs(self.validation.record(metrics, self.schedule.batches))
            if backend.is_chief:
                self.validation.warn(sum(evaluation.seconds.values()))
        else:
            with backend.together(step, self._config()):
                if error is not None:
                    raise error
        # 3. The chief publishes the version. All ranks raise its errors: now, or if that is in the
        # background, at the next evaluation.
        if self.publisher.asynchronous:
            self._publish(backend)
        else:
            with backend.together(names.step(f"add_model_predictions of {unit} {number}")):
                self._publish(backend)

    def flush(self, model: Any) -> dict[str, float]:
        """Waits until the newest version is logged, and returns its values on the chief."""
        names, version = self.publisher.names, self.publisher.newest
        with self._backend_of(model).together(names.step("logging the newest version")):
            self.publisher.finish()
        self.publisher.drain()
        return {names.value(name): v for name, v in version.metadata.get("metrics", {}).items()}

    def end(self, model: Any) -> None:
        """Waits for the chief's tables, and raises on every rank what failed in the background."""
        self.forget()
        with self._backend_of(model).together(self.publisher.names.step("the end of training")):
            self.publisher.finish()
        # The other ranks do not wait for uploads whose failures are only warned about.
        self.publisher.drain()
        self.publisher.rest()

    def forget(self) -> None:
        """Records that there is nothing to end any more."""
        self.has_begun = False
        _starting.discard(self)

    @contextlib.contextmanager
    def failing_together(self) -> Iterator[None]:
        """Raises an error of a block on all ranks, which may be in any other collective."""
        try:
            yield
        except DistEvalError as error:
            with self._backend_of(None).together("the start of an evaluation"):
                raise error

    def _backend_of(self, model: Any) -> Backend:
        return get_backend(self.backend, model=model, timeout=self.timeout)

    def _config(self) -> dict[str, Any]:
        """Returns the settings that have to be equal on every rank."""
        config = {
            "log_freq": self.schedule.log_freq,
            "asynchronous": self.publisher.asynchronous,
            "name": self.publisher.names.name,
        }
        return config | (self.session.config() if self.session else {"validation_data": None})

    def _check_name(self) -> None:
        """Raises if another callback of this training has the same name."""
        name = self.publisher.names.name
        if any(job.publisher.names.name == name for job in _starting if job is not self):
            raise DistEvalError(
                "Two callbacks of one training have the same name, so that their tables and values "
                f"would overwrite each other. Received: name={name!r} twice. Expected: a name for "
                'each set of data, such as name="night"; or close() of the first, if it is done.'
            )

    def _assessed(self, backend: Backend, step: str, version: Version) -> dict[str, float]:
        """Returns what the chief computes of the predictions, on every rank."""
        if self.assess is None:
            return {}
        with backend.together(f"the metrics for the logs of {step}") as agreement:
            agreement.report = self.assess(version) if backend.is_chief else None
        return dict(agreement.reports[0])

    def _publish(self, backend: Backend) -> None:
        """Publishes the newest version on the chief."""
        if backend.is_chief:
            self.publisher.publish()

    def _warn_of_runs(self, own_runs: Sequence[str | None]) -> None:
        """Says once for the job, on the chief's terminal, that other ranks have W&B runs."""
        others = {rank: run for rank, run in enumerate(own_runs) if run is not None}
        if others and not self._warned_of_runs:
            self._warned_of_runs = True
            logger.warning(
                "%d of %d ranks have a W&B run of their own (rank %d has run %s), to which nothing "
                "is logged by this callback. Only rank 0 needs a run: change `wandb.init(...)` to "
                "`if disteval.get_backend().is_chief: wandb.init(...)`.",
                len(others), len(own_runs), *next(iter(others.items()))
            )  # fmt: skip


def batches_of(model: Any) -> int:
    """Returns how many batches a model was trained on, including those before this process."""
    optimizer = getattr(model, "optimizer", None)  # a model that is not compiled has none
    return int(tf.convert_to_tensor(getattr(optimizer, "iterations", 0)))
