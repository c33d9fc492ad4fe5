"""What all ready-made evaluators share: the choice of rows, both tables, and the metrics."""

from __future__ import annotations

import abc
import importlib
import inspect
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import tensorflow as tf
import wandb

from disteval.arguments import check_bool, check_strings
from disteval.callback import DistEvalCallback
from disteval.errors import DistEvalError
from disteval.tables.cells import build_pred_table, plain_column
from disteval.tables.version import Version
from disteval.tasks.inputs import RANGE_SAMPLES, Inputs
from disteval.tasks.options import CallbackOptions, full_signature
from disteval.tasks.probabilities import labels_of
from disteval.tasks.rows import check_rows, first_rows, random_rows, stratified_rows, worst_rows
from disteval.tasks.selection import Selection, only_leaf

if TYPE_CHECKING:
    from typing_extensions import Unpack  # a part of `typing` from Python 3.11 on


class Assessment(NamedTuple):
    """Metrics, charts and columns of one evaluation.

    Attributes:
        metrics: Values over all samples, by name.
        plots: W&B charts, by name.
        losses: float of shape `(samples,)`; the higher, the worse the prediction.
        columns: Columns of the prediction table by name, with a value for each sample.
    """

    metrics: dict[str, float]
    plots: dict[str, Any]
    losses: np.ndarray
    columns: dict[str, np.ndarray]


class TaskEval(DistEvalCallback):
    """A `DistEvalCallback` that fills both tables and computes the metrics of a task.

    The metrics are computed from the predictions of all samples, and logged to the run as
    `eval/<metric>`. The two tables show the samples that `rows` chooses, with the sample's number
    as `index`. Sample weights are ignored.

    A subclass may override, and mostly extend by `super()`, what an evaluator does, in this order:

    1. `read_label(y)` is called for all samples on the chief, before training.
    2. `strata(labels)` is called once with what it returned, for `rows="stratified"`.
    3. `truth_cells(x, label)` is called for each sample that the tables show: a column more is a
       key more in the mapping that it returns.
    4. `postprocess(outputs, batch)` is traced into the graph of each replica, and runs in each
       evaluation.
    5. `assess(predictions, labels)` is called once on the chief with what all replicas returned:
       metrics, plots, and columns with a value for each sample.
    6. `prediction_columns(shown)` is called once with the indices of the samples that the tables
       show, for columns that are made for these only.

    All but the fourth run in the background of the chief, and must not use `self.model`.

    Args:
        validation_data: See `DistEvalCallback`; labels are required.
        rows: Which samples the tables show. `"first"`, `"random"` and `"stratified"` (classes in
            proportion, each at least once) choose the same samples in all versions. `"worst"`
            chooses the samples with the highest loss in each version, the worst first; whenever
            they change, the ground-truth table is logged again.
        num_rows: How many samples the tables show; without `rows`, the first so many. `None` is
            all of them, for `"first"` only.
        panel: Whether the newest rows also appear in the run's workspace as `eval/predictions`:
            at most the 10,000 rows that W&B shows there.
        image_key: The key of the image if x has several; `False` shows no inputs.
        output_key: The output to evaluate, if the model has several: a name, an index, or a path
            such as `"heads/class"` or `("heads", 0)`.
        label_key: The target to compare it with, if y has several; by default the one that has
            the key of the output.
        in_logs: Names of metrics that the callbacks after this one need, such as `("AP",)`. They
            are computed before the epoch ends, and are in `logs` on every rank, as `val_AP`.
            Upper and lower case do not matter.
        options: The other keyword arguments of `DistEvalCallback`, such as `batch_size`.

    Raises:
        DistEvalError: An argument is invalid, or an optional dependency is missing.
    """

    # With the arguments behind `**options`, for `help`; editors read these from their types.
    __signature__: ClassVar[inspect.Signature]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.__signature__ = full_signature(cls)

    def __init__(
        self,
        validation_data: Any,
        *,
        rows: str = "first",
        num_rows: int | None = None,
        panel: bool = False,
        image_key: Any = None,
        output_key: Any = None,
        label_key: Any = None,
        in_logs: Sequence[str] = (),
        **options: Unpack[CallbackOptions],
    ) -> None:
        if validation_data is None:
            raise DistEvalError(
                "There is no data. Received: validation_data=None. Expected: (x, y) or a dataset."
            )
        check_rows(rows, num_rows)
        check_bool("panel", panel)
        if in_logs != ():
            check_strings("in_logs", in_logs)
        # The columns depend on the data, which is read when training begins.
        super().__init__(["index"], ["epoch"], validation_data=validation_data, **options)
        self.rows = rows
        self.num_rows = num_rows
        self.panel = panel
        self.image_key = image_key
        self.output_key = output_key
        self.label_key = label_key
        self._selection = Selection(output_key, label_key)
        self.in_logs = tuple(in_logs)
        if self.in_logs:
            self._job.assess = self._assess_for_logs
        self._labels: list[Any] = []
        # Indices of the samples that the tables show; `None` before `rows="worst"` chose any.
        self._shown: np.ndarray | None = None

    @abc.abstractmethod
    def read_label(self, y: Any) -> Any:
        """Returns what to keep in memory of a sample's target; called for all samples.

        Raises:
            DataError: The label is invalid, or does not fit the model.
        """

    @abc.abstractmethod
    def strata(self, labels: Sequence[Any]) -> np.ndarray:
        """Returns the stratum of each sample, for `rows="stratified"`; int, `(samples,)`."""

    @abc.abstractmethod
    def truth_cells(self, x: Any, label: Any) -> dict[str, Any]:
        """Returns the cells of a sample in the ground-truth table, by column."""

    @abc.abstractmethod
    def assess(self, predictions: Any, labels: Sequence[Any]) -> Assessment:
        """Returns metrics and columns of the predictions of all samples."""

    def prediction_columns(self, shown: np.ndarray) -> dict[str, list[Any]]:
        """Returns columns that exist for the shown samples only, such as images."""
        return {}

    def add_ground_truth(self, logs: dict[str, float] | None = None) -> None:
        """Reads all labels, and fills the ground-truth table with the chosen samples."""
        labels = (self._selection.label(y, self._model) for _, y in self.samples())
        self._labels = [self.read_label(label) for label in labels]
        first = [x for x, _ in itertools.islice(self.samples(), RANGE_SAMPLES)]
        self._inputs = Inputs(first, self.image_key)
        self._shown = None
        count = len(self._labels)
        if self.rows == "first":
            self._show(first_rows(count, self.num_rows))
        elif self.rows == "random":
            self._show(random_rows(count, self.num_rows))
        elif self.rows == "stratified":
            self._show(stratified_rows(self.strata(self._labels), self.num_rows))

    def log_data_table(
        self, name: str = "val", type: str = "dataset", table_name: str = "val_data"
    ) -> None:
        """Logs the ground-truth table; with `rows="worst"`, not before the first predictions."""
        if self._shown is not None:
            super().log_data_table(name, type, table_name)

    def add_model_predictions(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Fills the prediction table, and adds the metrics of the evaluation."""
        assessment = self._publisher.version.assessment
        if assessment is None:
            assessment = self.assess(self.predictions, self._labels)
        if self.rows == "worst":
            worst = worst_rows(assessment.losses, self.num_rows)
            if self._shown is None or not np.array_equal(worst, self._shown):
                self._show(worst)
                self.log_data_table()
        shown = self._shown
        assert shown is not None
        columns = self.prediction_columns(shown)
        columns |= {name: plain_column(c[shown]) for name, c in assessment.columns.items()}
        truth = [name for name in self.data_table_columns if name not in columns]
        self.pred_table_columns = ["epoch", *truth, *columns]
        self.add_predictions(**columns)
        self.add_metrics({name: float(value) for name, value in assessment.metrics.items()})
        self.add_metrics(assessment.plots)
        if self.panel:
            self.add_metrics({"predictions": self._panel(epoch, shown, columns)})

    def _output_of(self, outputs: Any) -> Any:
        """Returns the output to evaluate: one tensor, or a nest if there is no `output_key`."""
        return self._selection.output(outputs, self._model)

    def _labels_of(self, batch: Any) -> Any:
        """Returns the target of a batch: one tensor, or a nest if there is no `label_key`."""
        return self._selection.label(labels_of(batch), self._model)

    def _single_output_of(self, outputs: Any) -> Any:
        """Returns the output to evaluate, as a float32 tensor."""
        return tf.cast(only_leaf(self._output_of(outputs), "outputs"), tf.float32)

    def _assess_for_logs(self, version: Version) -> dict[str, float]:
        """Returns the metrics of `in_logs`, and keeps all of them for `add_model_predictions`."""
        version.assessment = self.assess(version.predictions, self._labels)
        metrics = version.assessment.metrics
        # Papers and libraries write AP and F1, and this package ap and f1.
        values = {name.lower(): float(value) for name, value in metrics.items()}
        unknown = [name for name in self.in_logs if name.lower() not in values]
        if unknown:
            raise DistEvalError(
                f"`in_logs` names what is not a metric of {type(self).__name__}. Received: "
                f"{unknown[0]!r}. Expected: some of {', '.join(map(repr, metrics))}."
            )
        return {name: values[name.lower()] for name in self.in_logs}

    def _show(self, chosen: np.ndarray) -> None:
        """Fills the ground-truth table with the chosen samples, in the given order."""
        wanted = set(chosen.tolist())
        cells = {}
        samples = itertools.islice(self.samples(), int(chosen.max()) + 1)
        for index, (x, _) in enumerate(samples):
            if index in wanted:
                # Built during the pass, so that only one input is in memory.
                cells[index] = {"index": index, **self.truth_cells(x, self._labels[index])}
        table = wandb.Table(columns=[])
        ordered = [cells[index] for index in chosen.tolist()]
        self.data_table_columns = list(ordered[0])
        for name in self.data_table_columns:
            table.add_column(name, plain_column([row[name] for row in ordered]), optional=True)
        self.data_table = table
        self._shown = chosen

    def _panel(self, epoch: int, shown: np.ndarray, columns: dict[str, list[Any]]) -> wandb.Table:
        # The panel gets images of its own: images that are already in the artifact of the
        # prediction table would become references to that artifact.
        columns = columns | self.prediction_columns(shown)
        table = build_pred_table(
            self.pred_table_columns, self.data_table, columns, number={"epoch": epoch}, by_row=False
        )
        table.data = table.data[: wandb.Table.MAX_ROWS]
        return table


TaskEval.__signature__ = full_signature(TaskEval)


def require(module: str) -> None:
    """Raises a one-line `DistEvalError` if an optional dependency cannot be imported."""
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise DistEvalError(
            f"This evaluator needs {module}, which cannot be imported: {error}. Install it: "
            "pip install 'disteval[tasks]'"
        ) from None


def evenly_spaced(count: int, limit: int) -> np.ndarray:
    """Returns at most `limit` evenly spaced indices of `count` items, both ends included."""
    return np.unique(np.linspace(0, count - 1, min(count, limit)).astype(np.int64))
