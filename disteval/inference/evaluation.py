"""One evaluation on all ranks, from top to bottom."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from disteval.arguments import check_choice, check_positive
from disteval.backends.base import Backend
from disteval.data.consistency import check_extents
from disteval.data.sharding import Shard
from disteval.data.sources import Source
from disteval.errors import DataError
from disteval.inference import gathered, receipts
from disteval.inference.balance import balanced
from disteval.inference.gathered import Gathered
from disteval.inference.loop import Loop
from disteval.inference.metrics import VALIDATE, CompiledMetrics, MetricsReport
from disteval.inference.progress import Progress
from disteval.inference.receipts import Receipt
from disteval.inference.shard import ShardReport, ShardResults
from disteval.inference.weights import MODES, ModelWeights, WeightsReport

Shares = tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Options:
    """How to evaluate; see `DistEvalCallback` for the values.

    Raises:
        DistEvalError: A value is invalid.
    """

    num_samples: int | None = None
    batch_size: int | None = None
    sync_weights: str = "auto"
    verbose: str | int = "auto"
    validate: str | bool = False

    def __post_init__(self) -> None:
        for name in ("num_samples", "batch_size"):
            if (value := getattr(self, name)) is not None:
                check_positive(name, value, error=DataError)
        check_choice("sync_weights", self.sync_weights, MODES)
        check_choice("verbose", self.verbose, ("auto", 0, 1))
        check_choice("validate", self.validate, VALIDATE)


class Evaluation(NamedTuple):
    """The outcome of one evaluation.

    Attributes:
        predictions: On the chief, the nest of arrays; `None` elsewhere.
        metrics: What `model.evaluate(return_dict=True)` returns; empty without metrics.
        num_samples: The number of samples of all ranks.
        receipts: Which samples each rank evaluated; see `receipts`.
        seconds: How long `inference` and `gather` took on this rank.
        num_bytes: How many bytes the other ranks sent to the chief.
        shares: How much each rank should evaluate the next time; `None` for equal parts.
        input_seconds: How long each rank waited for input during inference.
    """

    predictions: Any
    metrics: dict[str, Any]
    num_samples: int
    receipts: list[Receipt]
    seconds: dict[str, float]
    num_bytes: int
    shares: Shares | None
    input_seconds: list[float]


@dataclasses.dataclass(frozen=True)
class ReadyReport:
    """What a rank reports when it is ready to evaluate.

    Attributes:
        shares: The shares that this rank knows of; only rank 0's are used.
        weights: The model's weights on this rank; `None` if they are not compared.
        metrics: The model's metrics on this rank; `None` if it wants none.
    """

    shares: Shares | None
    weights: WeightsReport | None
    metrics: MetricsReport | None


def run_evaluation(
    backend: Backend,
    prepare: Callable[[], tuple[Loop, Source]],
    step: str,
    options: Options,
    *,
    config: dict[str, Any] | None = None,
    earlier_error: BaseException | None = None,
    shares: Shares | None = None,
) -> Evaluation:
    """Evaluates a source on all ranks; a collective.

    Args:
        backend: Where the ranks and replicas are.
        prepare: Returns the loop to run and the source to run it on, of the same form on all
            ranks. An error on one rank is an error on all.
        step: Name of the evaluation, for messages.
        options: How to evaluate.
        config: Settings that have to be equal on all ranks.
        earlier_error: What failed on this rank before; it is raised on all ranks.
        shares: How much each rank evaluates; only rank 0's value is used.

    Raises:
        ReplicaDivergenceError: The ranks hold different models.
        DistEvalError: A rank failed, or the shards do not cover each sample once.
    """
    # 1. All ranks are ready, with the same settings.
    weights = None
    with backend.together(step, config) as agreement:
        if earlier_error is not None:
            raise earlier_error
        loop, source = prepare()
        if options.sync_weights != "off":
            weights = ModelWeights(loop.model, backend)
        metrics = loop.validation.examine(source.first) if options.validate else None
        agreement.report = ReadyReport(shares, weights.report() if weights else None, metrics)
    ready: list[ReadyReport] = agreement.reports
    shard = Shard(backend.rank, backend.size, _agreed_shares(ready))
    loop.metrics = loop.validation.agree(
        [report.metrics for report in ready], options.validate, warns=backend.is_chief
    )
    if backend.is_chief:
        loop.warn_of_second_pass()
    # 2. All replicas hold the chief's model, or borrow its state for the evaluation.
    with contextlib.ExitStack() as stack:
        if weights is not None:
            differing = weights.differing([r.weights for r in ready if r.weights is not None])
            weights.check(differing, options.sync_weights)
            stack.enter_context(weights.lent(list(differing)))
        stack.enter_context(loop.lent())
        # 3. Each rank evaluates its shard.
        started = time.monotonic()
        states = loop.metrics.zeros() if loop.metrics else []
        results = ShardResults(source.capacity(), backend.is_chief, states)
        progress = Progress(options.verbose if backend.is_chief else 0, source.num_samples)
        with backend.together(f"the inference of {step}") as agreement:
            rounds = source.rounds(shard, loop.num_replicas, loop.pace)
            results.run(loop, rounds, agreement, progress)
            if backend.is_chief and loop.structure is None:
                # The chief has to know the form of the predictions even if it evaluates none.
                loop.trace(source.first())
            agreement.report = results.report(time.monotonic() - started, source.extent())
            agreement.payload = results.payload(agreement.report)
        progress.close(agreement.total_progress())
        inferred = time.monotonic()
    # 4. The shards cover each sample once, with outputs of one form.
    reports: list[ShardReport] = agreement.reports
    check_extents([report.extent for report in reports])
    num_samples = receipts.check([report.receipt for report in reports])
    leaves = gathered.merged_leaves(reports) or loop.leaves
    # 5. The chief gets the rows of all ranks, in dataset order.
    if gathered.is_small(reports):
        of_all = gathered.unpack_small(backend, results, reports, agreement.payloads, leaves)
    else:
        of_all = gathered.gather_large(backend, results, reports, leaves)
    # 6. The chief computes the metrics, so that they are the same floats on every rank.
    values: dict[str, Any] = {}
    if loop.metrics is not None:
        values = _metrics_of(loop.metrics, of_all, backend, step)
    return Evaluation(
        loop.packed(of_all.rows) if of_all else None,
        values,
        num_samples,
        [report.receipt for report in reports],
        {"inference": inferred - started, "gather": time.monotonic() - inferred},
        sum(report.num_bytes for report in reports),
        balanced(
            shard.shares,
            [report.work for report in reports],
            [report.seconds for report in reports],
        ),
        [report.input_seconds for report in reports],
    )


def _metrics_of(
    metrics: CompiledMetrics, of_all: Gathered | None, backend: Backend, step: str
) -> dict[str, Any]:
    """Returns the results of the chief, on every rank; a collective."""
    states = of_all.states if of_all else metrics.zeros()
    # All ranks have agreed, so all of them enter the collectives of the results.
    results = metrics.results(states) if metrics.is_collective else {}
    with backend.together(f"the metrics of {step}") as agreement:
        if of_all is not None and not metrics.is_collective:
            results = metrics.results(states)
        agreement.report = results
    return dict(agreement.reports[0])


def _agreed_shares(ready: list[ReadyReport]) -> Shares | None:
    """Returns rank 0's shares: a rank that is new to the job knows none."""
    shares = ready[0].shares
    return shares if shares and len(shares) == len(ready) else None
