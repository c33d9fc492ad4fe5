"""Evaluations of one model on one set of validation data, and what is kept between them."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from disteval.backends.base import Backend
from disteval.data.batches import split_element
from disteval.data.coercion import as_source
from disteval.data.consistency import check_length, check_passes
from disteval.data.sources import Source
from disteval.errors import DistEvalError
from disteval.inference.evaluation import Evaluation, Options, Shares, run_evaluation
from disteval.inference.loop import Loop, PostProcess


class Loops:
    """The compiled loop of each model, for as long as the model lives."""

    def __init__(self) -> None:
        self._loops: weakref.WeakKeyDictionary[Any, Loop] = weakref.WeakKeyDictionary()

    def get(self, model: Any, postprocess: PostProcess | None, strategy: Any) -> Loop:
        """Returns the loop of a model; a new one if `postprocess` or the strategy has changed."""
        loop = self._loops.get(model)
        if loop is None or loop.postprocess != postprocess or loop.strategy is not strategy:
            loop = self._loops[model] = Loop(weakref.proxy(model), postprocess, strategy)
        return loop


class Session:
    """What a callback or `predict` evaluates, on every rank; knows nothing of W&B.

    Args:
        data: See `DistEvalCallback`.
        postprocess: See `DistEvalCallback`.
        options: How to evaluate.
        loops: Compiled loops to share with other sessions.
    """

    def __init__(
        self,
        data: Any,
        postprocess: PostProcess | None,
        options: Options,
        loops: Loops | None = None,
    ) -> None:
        self._data = data
        self._postprocess = postprocess
        self._options = options
        self._loops = loops or Loops()
        self._source: Source | None = None
        self._shares: Shares | None = None
        self._num_samples: int | None = None

    def config(self) -> dict[str, Any]:
        """Returns the settings that have to be equal on every rank."""
        config = dataclasses.asdict(self._options) | {"validation_data": type(self._data).__name__}
        del config["verbose"]
        return config

    def prepare(self, backend: Backend, model: Any) -> str | None:
        """Finds out before training, on this rank, whether the data can be evaluated.

        Returns:
            A digest of the data, for `consistency.check_ranks`.

        Raises:
            DataError: The data or the predictions of the first batch have the wrong form.
            DataOrderError: The data comes in another order at each pass.
        """
        source = self._open(model)
        self._num_samples = None
        self._loop(backend, model).trace(source.first())
        return check_passes(source, backend.rank, backend.size)

    def evaluate(
        self,
        backend: Backend,
        model: Any,
        step: str,
        *,
        config: dict[str, Any] | None = None,
        earlier_error: BaseException | None = None,
        opens_data: bool = False,
    ) -> Evaluation:
        """Evaluates on all ranks; a collective. See `run_evaluation`.

        Args:
            opens_data: Whether to open the data first, if there was no `prepare` before.

        Raises:
            DataOrderError: The number of samples has changed since the last evaluation.
        """

        def prepare() -> tuple[Loop, Source]:
            source = self._open(model) if opens_data else self._opened()
            if not model.built:
                # Before the weights are compared, so that there are weights.
                with backend.strategy.scope():
                    model(_first_input(source), training=False)
            return self._loop(backend, model), source

        evaluation = run_evaluation(
            backend,
            prepare,
            step,
            self._options,
            config=config or self.config(),
            earlier_error=earlier_error,
            shares=self._shares,
        )
        self._shares = evaluation.shares
        check_length(evaluation.num_samples, self._num_samples, step)
        self._num_samples = evaluation.num_samples
        return evaluation

    def samples(self) -> Iterator[tuple[Any, Any]]:
        """Iterates over `(x, y)` of each sample, in dataset order."""
        return self._opened().samples()

    def _loop(self, backend: Backend, model: Any) -> Loop:
        return self._loops.get(model, self._postprocess, backend.strategy)

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


def _first_input(source: Source) -> Any:
    """Returns the input of one sample, as a batch."""
    x, _ = split_element(source.first())
    return tf.nest.map_structure(lambda leaf: tf.convert_to_tensor(leaf[:1]), x)
