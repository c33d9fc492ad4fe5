"""`TableCallback`: the two tables, as a subclass of `DistEvalCallback` sees them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import wandb
from wandb.integration.keras import WandbEvalCallback

from disteval.arguments import check_choice, check_strings
from disteval.errors import DistEvalError
from disteval.tables.cells import DataTableRef, build_pred_table, store_plain_cells
from disteval.tables.publisher import Publisher


class TableCallback(WandbEvalCallback):
    """What hooks use to fill and log the tables.

    Args:
        data_table_columns, pred_table_columns, reference: See `DistEvalCallback`.
        is_chief: Whether this rank logs.
        has_peers: Whether there are other ranks.
        options: Arguments of the `Publisher`, which runs the hooks.
    """

    def __init__(
        self,
        data_table_columns: list[str],
        pred_table_columns: list[str],
        *,
        reference: str,
        is_chief: bool,
        has_peers: bool,
        **options: Any,
    ) -> None:
        check_strings("data_table_columns", data_table_columns)
        check_strings("pred_table_columns", pred_table_columns)
        check_choice("reference", reference, ("media", "row"))
        self._publisher = Publisher(self, **options)
        if reference == "row" and self._publisher.partitions != 1:
            raise DistEvalError(
                'reference="row" refers to rows of one table. Received: reference="row" with '
                f"partitions={self._publisher.partitions}. Expected: partitions=1, or "
                'reference="media".'
            )
        # `WandbEvalCallback` needs a run, which only the chief has. A chief that has none must not
        # fail here: the other ranks would wait for it, and never hear the reason.
        if is_chief and not (has_peers and wandb.run is None):
            super().__init__(data_table_columns, pred_table_columns)
        else:
            super(WandbEvalCallback, self).__init__()
        self.data_table_columns = data_table_columns
        self.pred_table_columns = pred_table_columns
        self.reference = reference

    @property
    def predictions(self) -> Any:
        """On the chief, the predictions of all samples; in a hook, those of its evaluation."""
        return self._publisher.version.predictions

    @property
    def model(self) -> Any:
        """The model that is trained; hooks that run in the background cannot use it."""
        if self._publisher.in_background:
            raise DistEvalError(
                "self.model was used in add_ground_truth or add_model_predictions, which run in "
                "the background while training goes on: its weights have moved on since the "
                "evaluation. Use self.predictions, compute more of it in postprocess, or construct "
                "the callback with asynchronous=False."
            )
        return self._model

    @model.setter
    def model(self, model: Any) -> None:
        # Keras 2 sets the attribute, Keras 3 calls `set_model`.
        self._model = model

    def add_predictions(self, **columns: Any) -> None:
        """Fills `pred_table` from whole columns; for `add_model_predictions`.

        The columns `epoch`, `step` and those of the ground-truth table are filled in: the latter
        with references, or with `reference="row"`, by one foreign key `row` in their place.

        Args:
            columns: All other columns of `pred_table_columns`, each a sequence with one value for
                each row of the ground-truth table, such as an array of shape `(samples, ...)`.

        Raises:
            DataError: A column is unknown or missing, or has the wrong length.
            DistEvalError: `pred_table` has rows already.
        """
        if self.pred_table.data:
            raise DistEvalError(
                "`pred_table` has rows already. Expected: one call of add_predictions, or add_data "
                "row by row, for each version."
            )
        names, by_row = self.pred_table_columns, self.reference == "row"
        metadata = self._publisher.version.metadata
        number = {key: metadata[key] for key in ("epoch", "step")}
        table = build_pred_table(names, self.data_table, columns, number=number, by_row=by_row)
        self.pred_table = store_plain_cells(table)

    def add_metrics(self, metrics: Mapping[str, Any]) -> None:
        """Adds values of this evaluation to the run, as `eval/<name>`; for `add_model_predictions`.

        Args:
            metrics: Numbers, which become metadata of the version as well, and anything else that
                `run.log` accepts, such as a plot.
        """
        self._publisher.version.add_metrics(metrics)

    def log_data_table(
        self, name: str = "val", type: str = "dataset", table_name: str = "val_data"
    ) -> None:
        """Logs `data_table` as a W&B artifact that the run uses, and sets `data_table_ref`.

        Nothing is downloaded again: `data_table_ref` refers to the table of this process. See
        `WandbEvalCallback` for the arguments.
        """
        name = self._publisher.names.artifact(name) if name == "val" else name
        self._publisher.log.log_data(self.data_table, name, type, table_name)
        self.data_table_ref: Any = DataTableRef(self.data_table)

    def log_pred_table(
        self,
        type: str = "evaluation",
        table_name: str = "eval_data",
        aliases: list[str] | None = None,
    ) -> None:
        """Logs `pred_table` as a version of the W&B artifact `run_<id>_pred`.

        See `WandbEvalCallback` for the arguments. By default, the aliases are `latest` and
        `epoch_<n>` or `step_<n>`, and `best` for the best version so far.
        """
        version, log = self._publisher.version, self._publisher.log
        log.log_predictions(
            self.pred_table,
            type,
            table_name,
            aliases or version.aliases,
            version.metadata,
            self._publisher.names.artifact(f"run_{log.run.id}_pred"),
        )
