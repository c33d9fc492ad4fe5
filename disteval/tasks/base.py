"""What all ready-made evaluators share: the choice of rows, both tables, and the metrics."""

from __future__ import annotations

import abc
import inspect
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import tensorflow as tf
import wandb

from disteval.arguments import check_bool, check_strings
from disteval.callback import DistEvalCallback
from disteval.errors import DistEvalError
from disteval.tables.history import History, restore
from disteval.tables.version import Version
from disteval.tasks.assessment import Assessment
from disteval.tasks.inputs import RANGE_SAMPLES, Inputs
from disteval.tasks.options import CallbackOptions, full_signature
from disteval.tasks.probabilities import labels_of
from disteval.tasks.rows import FIXED, RANKED, check_rows, fixed_rows, ranked_rows
from disteval.tasks.selection import Selection, only_leaf
from disteval.tasks.shown import panel_table, truth_table
from disteval.tasks.slices import Slices

if TYPE_CHECKING:
    from typing_extensions import Unpack  # a part of `typing` from Python 3.11 on


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
    4. `infer(model, batch)` and `postprocess(outputs, batch)` are traced into the graph of each
       replica, and run in each evaluation.
    5. `assess(predictions, labels)` is called once on the chief with what all replicas returned,
       and once for each part of `slices` with its samples: metrics, and columns with a value for
       each sample.
    6. `prediction_columns(shown)` is called once with the indices of the samples that the tables
       show, for columns that are made for these only.
    7. `plots(predictions, labels)` is called once for W&B's charts of all samples.

    All but the fourth run in the background of the chief, and must not use `self.model`.

    Args:
        validation_data: See `DistEvalCallback`; labels are required.
        rows: Which samples the tables show. `"first"`, `"random"` and `"stratified"` (classes in
            proportion, each at least once) choose the same samples in all versions. `"worst"`
            chooses the samples with the highest loss in each version, the worst first, and
            `"changed"` those whose prediction changed since the version before, the largest change
            of the loss first. `ClassificationEval` also has `"forgotten"`, the samples that were
            right before and became wrong most often, and `"suspect"`, the labels that are
            probably wrong. Whenever the samples change, the ground-truth table is logged again.
        num_rows: How many samples the tables show; without `rows`, the first so many. `None` is
            all of them, for `"first"` only.
        panel: Whether the newest rows also appear in the run's workspace as `eval/predictions`:
            at most the 10,000 rows that W&B shows there.
        image_key: The key of the image if x has several; `False` shows no inputs.
        output_key: The output to evaluate, if the model has several: a name, an index, or a path
            such as `"heads/class"` or `("heads", 0)`.
        label_key: The target to compare it with, if y has several; by default the one that has
            the key of the output.
        slices: Parts of the samples by name, such as `{"light": values}`: a value for each
            sample, or a function of `(x, y)` that the chief calls once for each sample; `None` for
            a sample in no part. A slice is a column of both tables, and the metrics of each value
            are logged as `eval/<metric>/light=dark`, those that are means over samples with a 95 %
            bootstrap interval (`.../low` and `.../high`); at most the 20 largest values.
        history: Whether the chief remembers what earlier versions said of each sample. It adds the
            column `loss_change`, and for a classifier those that `ClassificationEval` lists. A
            resumed run goes on with the history that is in its directory.
        in_logs: Names of metrics that the callbacks after this one need, such as `("AP",)`. They
            are computed before the epoch ends, and are in `logs` on every rank, as `val_AP`.
            Upper and lower case do not matter.
        options: The other keyword arguments of `DistEvalCallback`, such as `batch_size`.

    Raises:
        DistEvalError: An argument is invalid, or an optional dependency is missing.
    """

    # With the arguments behind `**options`, for `help`; editors read these from their types.
    __signature__: ClassVar[inspect.Signature]

    # The valid values of `rows`.
    row_choices: ClassVar[tuple[str, ...]] = (*FIXED, *RANKED)

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
        slices: Mapping[str, Any] | None = None,
        history: bool = True,
        in_logs: Sequence[str] = (),
        **options: Unpack[CallbackOptions],
    ) -> None:
        if validation_data is None:
            raise DistEvalError(
                "There is no data. Received: validation_data=None. Expected: (x, y) or a dataset."
            )
        check_bool("history", history)
        check_rows(rows, num_rows, self.row_choices, history)
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
        self.history = history
        self._slices = Slices(slices, options.get("num_samples"))
        self._history: History | None = None
        self._labels: list[Any] = []
        # Indices of the samples that the tables show; `None` before a ranking chose any.
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
        """Returns metrics and columns of predictions: of all samples, or of a part of them."""

    def plots(self, predictions: Any, labels: Sequence[Any]) -> dict[str, Any]:
        """Returns W&B's charts of all samples, by name."""
        return {}

    def class_cells(self, predicted: np.ndarray) -> list[Any]:
        """Returns the cells of predicted classes, as the `Outcome` of an assessment has them."""
        return predicted.tolist()

    def prediction_columns(self, shown: np.ndarray) -> dict[str, list[Any]]:
        """Returns columns that exist for the shown samples only, such as images."""
        return {}

    def add_ground_truth(self, logs: dict[str, float] | None = None) -> None:
        """Reads all labels, and fills the ground-truth table with the chosen samples."""
        self._labels = []
        self._slices.begin()
        for x, y in self.samples():
            self._labels.append(self.read_label(self._selection.label(y, self._model)))
            self._slices.add(x, y)
        self._slices.end(len(self._labels))
        if self.history:
            run, names, task = self._publisher.log.run, self._publisher.names, type(self).__name__
            self._history = restore(run, names, task, self._labels, self._history)
        first = [x for x, _ in itertools.islice(self.samples(), RANGE_SAMPLES)]
        self._inputs = Inputs(first, self.image_key)
        self._shown = None
        if self.rows in FIXED:
            strata = self.strata(self._labels) if self.rows == "stratified" else None
            self._show(fixed_rows(self.rows, self.num_rows, len(self._labels), strata))

    def log_data_table(
        self, name: str = "val", type: str = "dataset", table_name: str = "val_data"
    ) -> None:
        """Logs the ground-truth table; if `rows` ranks samples, not before the predictions."""
        if self._shown is not None:
            super().log_data_table(name, type, table_name)

    def add_model_predictions(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Fills the prediction table, and adds the metrics of the evaluation."""
        assessment = self._publisher.version.assessment
        if assessment is None:
            assessment = self.assess(self.predictions, self._labels)
        changes = None
        if self._history is not None:
            changes = self._history.add(assessment.losses, assessment.outcome)
        if self.rows not in FIXED:
            chosen = ranked_rows(self.rows, self.num_rows, assessment, changes)
            if self._shown is None or not np.array_equal(chosen, self._shown):
                self._show(chosen)
                self.log_data_table()
        shown = self._shown
        assert shown is not None
        columns = self.prediction_columns(shown)
        self._slices.check_columns([*columns, *assessment.columns])
        columns |= {name: column[shown] for name, column in assessment.columns.items()}
        if changes is not None:
            columns |= changes.of_samples(shown, self.class_cells)
        truth = [name for name in self.data_table_columns if name not in columns]
        self.pred_table_columns = ["epoch", *truth, *columns]
        self.add_predictions(**columns)
        self.add_metrics({name: float(value) for name, value in assessment.metrics.items()})
        self.add_metrics(self.plots(self.predictions, self._labels))
        if changes is not None:
            self.add_metrics(changes.counts)
        self._add_slices()
        if self.panel:
            self.add_metrics({"predictions": self._panel(epoch, shown, columns)})

    def log_pred_table(
        self,
        type: str = "evaluation",
        table_name: str = "eval_data",
        aliases: list[str] | None = None,
    ) -> None:
        """Logs the prediction table, and writes down the history that ends with it."""
        super().log_pred_table(type, table_name, aliases)
        if self._history is not None:
            names, history = self._publisher.names, self._history
            self._publisher.log.remember("the history", lambda run: history.save(run, names))

    def _add_slices(self) -> None:
        """Adds the metrics of the parts of the samples."""
        version = self._publisher.version
        measured = self._slices.measure(self.assess, version.predictions, self._labels)
        for part in measured:
            # Not by `add_metrics`: the metadata holds them in a form of its own.
            version.metrics |= part.named()
        if measured:
            version.metadata["slices"] = [part.to_json() for part in measured]

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
        return version.assessment.chosen(self.in_logs, type(self).__name__)

    def _show(self, chosen: np.ndarray) -> None:
        """Fills the ground-truth table with the chosen samples, in the given order."""
        self.data_table = truth_table(self.samples(), chosen, self._truth_row)
        self.data_table_columns = [str(name) for name in self.data_table.columns]
        self._shown = chosen

    def _truth_row(self, index: int, x: Any) -> dict[str, Any]:
        cells = self.truth_cells(x, self._labels[index])
        self._slices.check_columns(list(cells))
        return {"index": index, **cells, **self._slices.cells(index)}

    def _panel(self, epoch: int, shown: np.ndarray, columns: dict[str, Any]) -> wandb.Table:
        # The panel gets images of its own: images that are already in the artifact of the
        # prediction table would become references to that artifact.
        columns = columns | self.prediction_columns(shown)
        return panel_table(self.pred_table_columns, self.data_table, columns, epoch)


TaskEval.__signature__ = full_signature(TaskEval)
