"""What the client processes of the tests do: `python -m tests.wandb_backend.clients FUNCTION`.

A function's result is the last line that its process prints, as JSON.
"""

import json
import math
import os
import signal
import sys
from typing import Any

import numpy as np
import wandb

PROJECT = "demo"
SHADES = [0, 100, 200]


class Writer:
    """A run that logs a table of images, and tables of predictions that refer to it."""

    def __init__(self, run_id: str, online: bool = True) -> None:
        self.run = wandb.init(
            project=PROJECT, id=run_id, config={"lr": 0.1}, tags=["a", "b"], group="g"
        )
        self.data = wandb.Artifact("val", "dataset")
        self.table = wandb.Table(columns=["index", "image"])
        for index, shade in enumerate(SHADES):
            self.table.add_data(index, wandb.Image(np.full((4, 4, 3), shade, np.uint8)))
        self.data.add(self.table, "val_data")
        if online:
            self.run.use_artifact(self.data)
        else:
            self.run.log_artifact(self.data)

    def log_predictions(self, epoch: int, *aliases: str) -> None:
        """Logs one version: its images are references to files, its rows an index, of the data."""
        table = wandb.Table(columns=["image", "score"])
        for (_, image), score in zip(self.table.data, (0.0, 0.5, 1.0), strict=True):
            table.add_data(image, epoch + score)
        table.add_column("row", self.table.get_index())
        predictions = wandb.Artifact("pred", "evaluation", metadata={"epoch": epoch})
        predictions.add(table, "eval_data")
        with predictions.new_file("classes.txt") as file:
            file.write("the same in each version")
        for image in self.table.get_column("image"):
            path = self.data.get_added_local_path_name(image._path)
            uri = f"wandb-client-artifact://{self.data._client_id}/{path}"
            predictions.add_reference(uri, name=path)
        self.run.log_artifact(predictions, aliases=["latest", f"epoch_{epoch}", *aliases])


def write() -> None:
    """Trains for three epochs, the second one being the best, and logs one content three times."""
    writer = Writer("writer")
    for epoch, aliases in enumerate([["best"], ["best"], []]):
        writer.log_predictions(epoch, *aliases)
        writer.run.log({"loss": 1.0 - epoch, "odd": math.nan})
    for alias in ("first", "second"):
        same = wandb.Artifact("same", "notes")
        with same.new_file("note.txt") as file:
            file.write("the same content")
        writer.run.log_artifact(same, aliases=[alias])
    writer.run.log_artifact(same.wait(), aliases=["third"])
    print("to the console")
    writer.run.finish()


def read() -> dict[str, Any]:
    """Reads back what `write` logged, then moves an alias."""
    api = wandb.Api()
    path = f"tester/{PROJECT}/pred"
    artifact = api.artifact(f"{path}:best")
    table = artifact.get("eval_data")
    data = api.artifact(f"tester/{PROJECT}/val:latest")
    run = api.run(f"tester/{PROJECT}/writer")
    result = {
        "columns": table.columns,
        "shades": [int(np.asarray(row[0].image)[0, 0, 0]) for row in table.data],
        "scores": table.get_column("score"),
        "rows": [row[2].get_row()["index"] for row in table.data],
        "data": [row[0] for row in data.get("val_data").data],
        "metadata": artifact.metadata,
        "aliases": list(artifact.aliases),
        "files": sorted(file.name for file in artifact.files()),
        "versions": [v.name for v in api.artifacts("evaluation", path, per_page=2)],
        "logged_by": artifact.logged_by().id,
        "used_by": [user.id for user in data.used_by()],
        "logged": sorted(a.name for a in run.logged_artifacts()),
        "used": [a.name for a in run.used_artifacts()],
        "history": [row["loss"] for row in run.scan_history()],
        "history_of_key": list(run.scan_history(keys=["loss"])),
        "summary": run.summary["loss"],
        "config": run.config,
        "runs": [run.id for run in api.runs(f"tester/{PROJECT}")],
        "exists": api.artifact_exists(f"{path}:v9"),
    }
    artifact.aliases.append("chosen")
    artifact.save()
    return result | {"chosen": api.artifact(f"{path}:chosen").version}


def resume() -> dict[str, Any]:
    """Goes on with the run of `write`; going on with an unknown run is an error."""
    run = wandb.init(project=PROJECT, id="writer", resume="must")
    step = run.starting_step
    run.log({"loss": -9.0})
    run.use_artifact("pred:best")
    run.finish()
    try:
        wandb.init(project=PROJECT, id="unknown", resume="must")
    except wandb.errors.UsageError as error:
        return {"step": step, "error": str(error)}
    return {"step": step, "error": None}


def offline() -> dict[str, Any]:
    """Logs without a network, for `wandb sync`."""
    writer = Writer("offline", online=False)
    writer.log_predictions(0, "best")
    writer.run.log({"loss": 0.5})
    directory = os.path.dirname(writer.run.dir)
    writer.run.finish()
    return {"directory": directory}


def train() -> None:
    """One epoch, on a backend that may fail."""
    writer = Writer("train")
    writer.log_predictions(0)
    writer.run.log({"loss": 0.5})
    writer.run.finish()


def fail_to_log() -> dict[str, Any]:
    """Waits for an artifact that the backend refuses."""
    with wandb.init(project=PROJECT, id="refused") as run:
        artifact = run.log_artifact(wandb.Artifact("refused", "notes"))
        try:
            artifact.wait()
        except ValueError as error:
            return {"error": str(error)}
    return {"error": None}


def crash() -> None:
    """Is killed after its data was committed."""
    writer = Writer("crash")
    writer.data.wait()
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]]()))
