"""Parts of a run, logged by the real client in this process, without a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import wandb

from disteval.tables.artifacts import LoggedData, PredictionArtifact
from disteval.tables.cells import build_pred_table
from disteval.tables.packages import KEPT, Package

LABELS = ["cat", "dog"]


def log_part(
    time: str,
    epochs: Mapping[int, Sequence[float]],
    *,
    labels: Sequence[str] = LABELS,
    data: LoggedData | None = None,
    run_id: str = "resumed",
    project: str = "p",
    keep: bool = False,
) -> tuple[Path, LoggedData]:
    """Starts or resumes a run, which logs its ground truth and then predictions.

    Args:
        time: What names the part's directory, such as `20260102_030405`.
        epochs: For each epoch the scores of two samples; the first one is logged as its loss, too.
        labels: The ground truth of the two samples.
        data: Ground truth that was logged before, which the predictions refer to instead.
        run_id: The run.
        project: Its project.
        keep: Keep the tables as packages, as an online run with `keep_local=True` does.

    Returns:
        The part's directory, and the ground truth.
    """
    with wandb.init(mode="offline", project=project, id=run_id, resume="allow") as run:
        directory = Path(run.dir).parent
        kept = directory / "disteval/00" / KEPT
        if data is None:
            table = wandb.Table(["label"], [[label] for label in labels])
            artifact = wandb.Artifact("val", type="dataset")
            data = LoggedData(artifact, table, artifact.add(table, "val_data").path, "000000-val")
            if keep:
                Package.write(kept / data.package, artifact, aliases=["latest"])
            else:
                run.log_artifact(artifact)
        for number, (epoch, scores) in enumerate(epochs.items(), 1):
            run.log({"eval/epoch": epoch, "eval/loss": scores[0]})
            table = build_pred_table(
                ["score"], data.table, {"score": list(scores)}, number={}, by_row=True
            )
            name = f"run_{run.id}_pred"
            artifact = PredictionArtifact(name, "evaluation", data, {"epoch": epoch})
            artifact.add(table, "eval_data")
            aliases = ["latest", f"epoch_{epoch}", "best"]
            if keep:
                Package.write(
                    kept / f"{number:06d}-epoch_{epoch}",
                    artifact,
                    aliases=aliases,
                    data=data.package,
                    data_url=artifact.data_url,
                )
            else:
                run.log_artifact(artifact, aliases=aliases)
    wandb.teardown()  # An offline run finishes before W&B's service has written everything.
    # Two parts that begin within a second would have similar names.
    kind = "run" if keep else "offline-run"
    return directory.rename(directory.with_name(f"{kind}-{time}-{run_id}")), data


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Returns what this package, and not W&B, has warned of."""
    return [record.getMessage() for record in caplog.records if record.name == "disteval"]
