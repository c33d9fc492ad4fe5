"""Parts of an offline run, logged by the real client in this process."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import wandb

from disteval.tables.artifacts import LoggedData, PredictionArtifact
from disteval.tables.cells import build_pred_table

LABELS = ["cat", "dog"]
Scores = Sequence[float]


def log_part(
    time: str,
    epochs: Mapping[int, Scores],
    *,
    data: LoggedData | None = None,
    run_id: str = "resumed",
    project: str = "p",
) -> tuple[Path, LoggedData]:
    """Starts or resumes an offline run, which logs its ground truth and then predictions.

    Args:
        time: What names the part's directory, such as `20260102_030405`.
        epochs: For each epoch the scores of two samples; the first one is logged as its loss, too.
        data: Ground truth that was logged before, which the predictions refer to instead.
        run_id: The run.
        project: Its project.

    Returns:
        The part's directory, and the ground truth.
    """
    with wandb.init(mode="offline", project=project, id=run_id, resume="allow") as run:
        if data is None:
            table = wandb.Table(["label"], [[label] for label in LABELS])
            artifact = wandb.Artifact("val", type="dataset")
            data = LoggedData(artifact, table, artifact.add(table, "val_data").path)
            run.log_artifact(artifact)
        for epoch, scores in epochs.items():
            run.log({"eval/epoch": epoch, "eval/loss": scores[0]})
            table = build_pred_table(
                ["score"], data.table, {"score": list(scores)}, number={}, by_row=True
            )
            name = f"run_{run.id}_pred"
            predictions = PredictionArtifact(name, "evaluation", data, {"epoch": epoch})
            predictions.add(table, "eval_data")
            run.log_artifact(predictions, aliases=["latest", f"epoch_{epoch}", "best"])
        directory = Path(run.dir).parent
    # Two parts that begin within a second would have similar names.
    return directory.rename(directory.with_name(f"offline-run-{time}-{run_id}")), data


def keep_part(directory: Path, epochs: Mapping[int, Scores]) -> None:
    """Writes the packages that an online part with `keep_local=True` keeps, of the same tables."""
    for number, (epoch, scores) in enumerate({-1: [], **epochs}.items()):
        package = directory / "disteval/00/kept" / f"{number:06d}-epoch_{epoch}"
        (package / "files").mkdir(parents=True)
        is_data = epoch == -1
        cells = [[label] for label in LABELS] if is_data else [[score] for score in scores]
        column = "label" if is_data else "score"
        table = {
            "columns": [column],
            "data": cells,
            "column_types": {"params": {"type_map": {}}},
        }
        name = "val_data" if is_data else "eval_data"
        (package / f"files/{name}.table.json").write_text(json.dumps(table))
        description = {
            "name": "val" if is_data else "run_resumed_pred",
            "type": "dataset" if is_data else "evaluation",
            "aliases": ["latest"] if is_data else ["latest", f"epoch_{epoch}", "best"],
            "metadata": {} if is_data else {"epoch": epoch},
            "uses": is_data,
            "data": None if is_data else "000000-epoch_-1",
            "references": [],
            "foreign": [],
        }
        (package / "package.json").write_text(json.dumps(description))
