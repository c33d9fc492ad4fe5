"""The command `python -m disteval evaluate`: each checkpoint becomes a version."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import importlib
import logging
import time
from collections.abc import Callable
from typing import Any

import wandb

from disteval.arguments import check_callable
from disteval.backends.base import Backend
from disteval.backends.choice import get_backend
from disteval.callback import DistEvalCallback
from disteval.checkpoints.engine import start_engine
from disteval.checkpoints.files import Checkpoint
from disteval.checkpoints.inputs import alias_of, local_path
from disteval.checkpoints.models import Models
from disteval.checkpoints.output import Output
from disteval.checkpoints.record import Record
from disteval.checkpoints.watch import POLL_SECONDS, Watcher
from disteval.errors import CollectiveError, DistEvalError
from disteval.tables.publisher import run_identity

logger = logging.getLogger("disteval")

# Most names of checkpoints in a folder are shorter.
NAME = "model-0000.weights.h5"


def run(args: argparse.Namespace) -> int:
    """Runs the command on this rank, and returns its exit status: 1 if a checkpoint failed."""
    check_arguments(args)
    strategy = start_engine(args.backend, args.replicas)
    with strategy.scope():
        backend = get_backend(args.backend if args.backend == "multiworker" else "auto")
    watcher = None
    with backend.together("starting the W&B run"):
        if backend.is_chief:
            if args.watch is not None:
                watcher = Watcher(args.watch, Record(args.watch), args.until, args.idle)
            _start_run(args, watcher.record.run if watcher is not None else None)
    with backend.together("making the callback"):
        callback, build = make(args.factory)
    evaluator = Evaluator(callback, Models(build, strategy), backend, args)
    with callback:
        if args.watch is None:
            evaluator.evaluate_all(args.checkpoints)
        else:
            evaluator.watch(watcher)
    return evaluator.finish()


def check_arguments(args: argparse.Namespace) -> None:
    """Raises a `DistEvalError` if the arguments of the command do not fit together."""
    if bool(args.checkpoints) == (args.watch is not None):
        raise DistEvalError(
            "There is nothing to evaluate, or there is too much. Received: "
            f"{len(args.checkpoints)} checkpoints, and --watch {args.watch}. Expected: paths of "
            "checkpoints, or --watch with a folder."
        )
    if args.watch is None and (args.until is not None or args.idle is not None):
        raise DistEvalError(
            f"Only a watcher ends. Received: --until {args.until} and --idle {args.idle}. "
            "Expected: --watch with a folder."
        )
    if args.idle is not None and not args.idle >= 0:
        raise DistEvalError(
            f"`--idle` is no time. Received: --idle {args.idle}. Expected: a number of seconds."
        )


def _start_run(args: argparse.Namespace, known: dict[str, Any] | None) -> None:
    """Starts a W&B run, or resumes that of a watcher before, which is `known`."""
    wandb.init(
        **(known or {}),
        name=args.name,
        group=args.group,
        job_type="evaluation",
        resume="allow" if known else None,
    )


def make(factory: str) -> tuple[DistEvalCallback, Callable[[], Any] | None]:
    """Returns what a factory makes: the callback, and a function that builds a model, or `None`.

    Args:
        factory: A module and the name of a function in it, such as `evaluation:make`.

    Raises:
        DistEvalError: There is no such function, or it returns something else.
    """
    module, _, name = factory.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise DistEvalError(
            f"The factory cannot be imported: {error}. Received: {factory}. Expected: a module in "
            "this folder or on PYTHONPATH, and a function in it, as in evaluation:make."
        ) from error
    check_callable(name, function)
    made = function()
    callback, build = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(callback, DistEvalCallback) or not (build is None or callable(build)):
        raise DistEvalError(
            f"The factory returned something else. Received: {made!r} from {factory}. Expected: a "
            "DistEvalCallback, or such a callback and a function that builds a model."
        )
    if callback.validation_data is None:
        raise DistEvalError(
            f"The callback of the factory has no data. Received: validation_data=None from "
            f"{factory}. Expected: (x, y) or a dataset."
        )
    return callback, build


@dataclasses.dataclass
class Evaluator:
    """Evaluates checkpoints one after the other, on every rank alike.

    Args:
        callback: What evaluates and logs.
        models: Loads checkpoints.
        backend: Where the ranks are.
        args: The arguments of the command.
    """

    callback: DistEvalCallback
    models: Models
    backend: Backend
    args: argparse.Namespace

    def __post_init__(self) -> None:
        folder = [] if self.args.watch is None else [str(self.args.watch / NAME)]
        width = max(map(len, [*folder, *self.args.checkpoints]))
        self._output = Output(as_json=self.args.json, width=width)
        self._failures: list[str] = []
        self._count = 0

    def evaluate_all(self, given: list[str]) -> None:
        """Evaluates checkpoints in the given order."""
        for number, name in enumerate(given):
            self._attempt(name, functools.partial(self._evaluate_given, number, name))

    def watch(self, watcher: Watcher | None) -> None:
        """Evaluates each new checkpoint of a folder.

        Args:
            watcher: Finds them; `None` but on the chief.
        """
        with self.backend.together("finding out what was evaluated"):
            if watcher is not None and watcher.record.is_interrupted:
                # A process ended before it knew whether W&B has committed this version.
                if self.callback.has_version(f"epoch_{watcher.record.number}"):
                    watcher.record.end()
                else:
                    watcher.record.give_up()
        while True:
            with self.backend.together("finding the next checkpoint") as agreement:
                if watcher is not None:
                    number = watcher.record.number
                    agreement.report = (watcher.poll(run_identity()), number, watcher.has_ended)
            checkpoint, number, has_ended = agreement.reports[0]
            if checkpoint is not None:
                self._evaluate_found(checkpoint, number, watcher)
            elif has_ended:
                return
            else:
                time.sleep(POLL_SECONDS)

    def _evaluate_given(self, number: int, name: str) -> None:
        with self.backend.together(f"finding {name}") as agreement:
            agreement.report = Checkpoint.of(local_path(name)) if self.backend.is_chief else None
        checkpoint = agreement.reports[0]
        self._evaluate(checkpoint, number, name, alias_of(name, checkpoint))

    def _evaluate_found(self, checkpoint: Checkpoint, number: int, watcher: Watcher | None) -> None:
        name = str(checkpoint.path)
        evaluate = functools.partial(self._evaluate, checkpoint, number, name, checkpoint.alias)
        succeeded = self._attempt(name, evaluate, checkpoint)
        with self.backend.together(f"recording {name}"):
            if watcher is not None:
                watcher.done(checkpoint, succeeded=succeeded)

    def _evaluate(self, checkpoint: Checkpoint, number: int, name: str, alias: str) -> None:
        """Evaluates one checkpoint on all ranks; a collective."""
        with self.backend.together(f"loading {name}"):
            model = self.models.load(checkpoint)
            if self.backend.is_chief and not checkpoint.is_unchanged():
                raise DistEvalError(f"{name} changed while it was read.")
        metrics = self.callback.evaluate(model, number, aliases=[alias])
        more = self.callback.flush()
        if self.backend.is_chief:
            self._output.add(name, f"epoch_{number}", metrics | more)

    def _attempt(
        self, name: str, evaluate: Callable[[], None], checkpoint: Checkpoint | None = None
    ) -> bool:
        """Returns whether an evaluation succeeded; a failure is named, and the others go on."""
        self._count += 1
        try:
            evaluate()
        except CollectiveError:
            raise  # there is no one to go on with
        except Exception as error:
            if checkpoint is not None and not checkpoint.is_unchanged():
                fault = "was removed or written again, and is skipped"
            else:
                fault = "could not be evaluated"
                self._failures.append(name)
            if self.backend.is_chief:
                logger.warning("%s %s: %s: %s", name, fault, type(error).__name__, error)
            return False
        return True

    def finish(self) -> int:
        """Finishes the W&B run, and returns the exit status."""
        status = int(bool(self._failures))
        if self.backend.is_chief and wandb.run is not None:
            wandb.run.finish(exit_code=status)
        if self.backend.is_chief and self._failures:
            logger.warning(
                "%d of %d checkpoints could not be evaluated.", len(self._failures), self._count
            )
        return status
