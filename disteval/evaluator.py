"""Repeated evaluations of one model on one set of validation data, with what is kept in between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from disteval.backends import Backend
from disteval.data import as_source
from disteval.errors import DistEvalError
from disteval.loop import Loop, PostProcess
from disteval.order import check_length, check_passes
from disteval.predict import Evaluation, evaluate
from disteval.sources import Source


class Evaluator:
    """What a callback evaluates, on every rank; knows nothing of W&B.

    Args:
        validation_data: See `DistEvalCallback`.
        postprocess: See `DistEvalCallback`.
        num_samples: See `DistEvalCallback`.
        batch_size: See `DistEvalCallback`.
        sync_weights: See `DistEvalCallback`.
        verbose: See `DistEvalCallback`.
    """

    def __init__(
        self,
        validation_data: Any,
        postprocess: PostProcess,
        *,
        num_samples: int | None,
        batch_size: int | None,
        sync_weights: str,
        verbose: str | int,
    ) -> None:
        self._validation_data = validation_data
        self._postprocess = postprocess
        self._num_samples = num_samples
        self._batch_size = batch_size
        self._sync_weights = sync_weights
        self._verbose = verbose
        self._weights: tuple[float, ...] | None = None
        self._source: Source | None = None
        self._loop: Loop | None = None
        self._num_evaluated: int | None = None

    def facts(self) -> dict[str, Any]:
        """Returns what has to be equal on every rank."""
        return {
            "num_samples": self._num_samples,
            "batch_size": self._batch_size,
            "sync_weights": self._sync_weights,
            "validation_data": type(self._validation_data).__name__,
        }

    def prepare(self, backend: Backend, model: Any) -> str | None:
        """Finds out before training whether the data can be evaluated, on this rank.

        Returns:
            What `order.check_ranks` compares.

        Raises:
            DataError: The data or the predictions of the first batch have the wrong form.
            DataOrderError: The data comes in another order at each pass.
        """
        self._source = as_source(
            self._validation_data,
            batch_size=self._batch_size,
            num_samples=self._num_samples,
            model=model,
        )
        self._num_evaluated = None
        self._current_loop(backend, model).trace(self._source.first())
        return check_passes(self._source, backend.rank, backend.size)

    def run(
        self,
        backend: Backend,
        model: Any,
        step: str,
        *,
        same: dict[str, Any],
        before: BaseException | None,
    ) -> Evaluation:
        """Evaluates on all ranks; a collective. See `predict.evaluate`.

        Raises:
            DataOrderError: The data has not as many samples as before.
        """
        evaluation = evaluate(
            backend,
            lambda: (self._current_loop(backend, model), self._prepared()),
            step=step,
            same=same,
            before=before,
            sync_weights=self._sync_weights,
            weights=self._weights,
            verbose=self._verbose,
        )
        self._weights = evaluation.weights
        check_length(evaluation.num_samples, self._num_evaluated, step)
        self._num_evaluated = evaluation.num_samples
        return evaluation

    def samples(self) -> Iterator[tuple[Any, Any]]:
        """Iterates over `(x, y)` of each sample, in dataset order."""
        return self._prepared().samples()

    def _prepared(self) -> Source:
        if self._source is None:
            raise DistEvalError(
                "The validation data was asked for before training. Expected: on_train_begin "
                "first, as `fit` calls it."
            )
        return self._source

    def _current_loop(self, backend: Backend, model: Any) -> Loop:
        loop = self._loop
        if loop is None or loop.model is not model or loop.strategy is not backend.strategy:
            loop = self._loop = Loop(model, self._postprocess, backend.strategy)
        return loop
