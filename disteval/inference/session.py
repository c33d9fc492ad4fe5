"""Evaluations of one model on one set of validation data, and what is kept between them."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf

from disteval.arguments import check_model
from disteval.backends.base import Backend
from disteval.backends.choice import get_backend
from disteval.data.coercion import as_source
from disteval.data.consistency import check_length, check_passes, check_ranks
from disteval.data.sources import Source
from disteval.errors import DistEvalError
from disteval.inference import input_wait
from disteval.inference.evaluation import Evaluation, Options, Shares, run_evaluation
from disteval.inference.functions import BatchFunctions
from disteval.inference.loop import Loop
from disteval.inference.metrics import MetricsReport


class Loops:
    """The compiled loop of each model, for as long as the model lives."""

    def __init__(self) -> None:
        self._loops: weakref.WeakKeyDictionary[Any, Loop] = weakref.WeakKeyDictionary()

    def get(self, model: Any, functions: BatchFunctions, strategy: Any) -> Loop:
        """Returns the loop of a model; a new one if a function or the strategy has changed."""
        loop = self._loops.get(model)
        if loop is None or loop.functions != functions or loop.strategy is not strategy:
            loop = self._loops[model] = Loop(weakref.proxy(model), functions, strategy)
        return loop


@dataclasses.dataclass(frozen=True)
class DataReport:
    """What a rank reports of its data and model before training.

    Attributes:
        digest: A digest of the data; `None` if ranks read different data.
        metrics: The model's metrics; `None` without `validate`.
    """

    digest: str | None
    metrics: MetricsReport | None


class Session:
    """What a callback or `predict` evaluates, on every rank; knows nothing of W&B.

    Args:
        data: See `DistEvalCallback`.
        functions: What runs on each batch.
        options: How to evaluate.
        loops: Compiled loops to share with other sessions.
    """

    def __init__(
        self,
        data: Any,
        functions: BatchFunctions,
        options: Options,
        loops: Loops | None = None,
    ) -> None:
        self._data = data
        self._functions = functions
        self._options = options
        self._loops = loops or Loops()
        self._source: Source | None = None
        self._shares: Shares | None = None
        self._num_samples: int | None = None
        self._error: tf.errors.OpError | None = None

    def config(self) -> dict[str, Any]:
        """Returns the settings that have to be equal on every rank."""
        config = dataclasses.asdict(self._options) | {
            "validation_data": type(self._data).__name__,
            "eager": self._functions.eager,
        }
        del config["verbose"]
        return config

    def prepare(self, backend: Backend, model: Any) -> DataReport:
        """Finds out before training, on this rank, whether the data can be evaluated.

        Returns:
            What the ranks have to compare, for `agree`.

        Raises:
            DataError: The data or the predictions of the first batch have the wrong form.
            DataOrderError: The data comes in another order at each pass.
        """
        source = self._open(model)
        self._num_samples, self._error = None, None
        loop, metrics = self._built_loop(backend, model, source), None
        batch = source.first()
        if self._options.validate:
            metrics = loop.validation.examine(lambda: batch)
            loop.metrics = None if metrics.refused else loop.validation.metrics
        with loop.lent():
            try:
                loop.trace(batch)
            except tf.errors.OpError as error:
                if loop.metrics is None:
                    raise
                # Most likely labels for which there is no loss: a callback that reads them, before
                # `check`, says so in better words.
                self._error, loop.metrics = error, None
                loop.trace(batch)
        return DataReport(check_passes(source, backend.rank, backend.size), metrics)

    def agree(self, backend: Backend, model: Any, reports: Sequence[DataReport]) -> None:
        """Compares what `prepare` returned on each rank, on every rank alike.

        Raises:
            DataOrderError: The ranks read different data.
            MetricError: Metrics would be left out, and `validate` is true.
        """
        check_ranks([report.digest for report in reports])
        metrics = [report.metrics for report in reports]
        validation = self._built_loop(backend, model, self._opened()).validation
        validation.agree(metrics, self._options.validate, warns=backend.is_chief)

    def check(self) -> None:
        """Raises what the metrics of the first batch raised in `prepare`."""
        if self._error is not None:
            raise self._error

    def evaluate(
        self,
        backend: Backend,
        model: Any,
        step: str,
        *,
        config: dict[str, Any] | None = None,
        earlier_error: BaseException | None = None,
        opens_data: bool = False,
        validate: bool = True,
    ) -> Evaluation:
        """Evaluates on all ranks; a collective. See `run_evaluation`.

        Args:
            opens_data: Whether to open the data first, if there was no `prepare` before.
            validate: Whether this rank wants metrics at all.

        Raises:
            DataOrderError: The number of samples has changed since the last evaluation.
        """

        options = self._options if validate else dataclasses.replace(self._options, validate=False)

        def prepare() -> tuple[Loop, Source]:
            source = self._open(model) if opens_data else self._opened()
            return self._built_loop(backend, model, source), source

        evaluation = run_evaluation(
            backend,
            prepare,
            step,
            options,
            config=config or self.config(),
            earlier_error=earlier_error,
            shares=self._shares,
        )
        self._shares = evaluation.shares
        if backend.is_chief:
            input_wait.warn(
                self._opened(), evaluation.input_seconds, evaluation.seconds["inference"]
            )
        check_length(evaluation.num_samples, self._num_samples, step)
        self._num_samples = evaluation.num_samples
        return evaluation

    def samples(self) -> Iterator[tuple[Any, Any]]:
        """Iterates over `(x, y)` of each sample, in dataset order."""
        return self._opened().samples()

    def _built_loop(self, backend: Backend, model: Any, source: Source) -> Loop:
        """Returns the loop of a model whose variables exist."""
        loop = self._loops.get(model, self._functions, backend.strategy)
        loop.build(source.first)
        return loop

    def _opened(self) -> Source:
        if self._source is None:
            raise DistEvalError(
                "The validation data was used before training. Expected: on_train_begin first, as "
                "`fit` calls it."
            )
        return self._source

    def _open(self, model: Any) -> Source:
        sizes = {"batch_size": self._options.batch_size, "num_samples": self._options.num_samples}
        self._source = as_source(self._data, model=model, **sizes)
        return self._source


def evaluate_once(
    step: str,
    model: Any,
    data: Any,
    functions: dict[str, Any],
    backend: str,
    options: dict[str, Any],
    loops: Loops,
) -> Evaluation:
    """Evaluates a model on data of one call; a collective.

    Args:
        step: The name of the evaluation, for messages.
        functions: The arguments of `BatchFunctions`.
        options: The arguments of `Options`.
    """
    on_batch, checked, error = BatchFunctions(), Options(), None
    try:
        check_model(model)
        on_batch = BatchFunctions(**functions)
        checked = Options(**options)
    except DistEvalError as invalid:
        error = invalid  # raised on every rank, also where the arguments are valid
    engine = get_backend(backend, model=None if error else model)
    session = Session(data, on_batch, checked, loops)
    return session.evaluate(engine, model, step, earlier_error=error, opens_data=True)
