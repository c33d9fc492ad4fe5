"""Reads the tables of some runs back from the server, and prints them as JSON."""

from __future__ import annotations

import json
import sys

import wandb


def cell(value: object) -> object:
    if not isinstance(value, wandb.Image):
        return value
    return {
        "size": value.image.size,
        "mode": value.image.mode,
        "extrema": value.image.getextrema(),
        "masks": {
            key: sorted({pixel for _, pixel in wandb.Image(mask._path).image.getcolors()})
            for key, mask in (value._masks or {}).items()
        },
        "boxes": {key: len(boxes._val) for key, boxes in (value._boxes or {}).items()},
    }


def read(artifact: wandb.Artifact, name: str) -> dict[str, object]:
    table = artifact.get(name)
    return {
        "version": artifact.version,
        "aliases": artifact.aliases,
        "columns": table.columns,
        "rows": [[cell(value) for value in row] for row in table.data],
    }


api = wandb.Api()
found = {}
for run_id in sys.argv[1:]:
    run = api.run(f"tester/tables/{run_id}")
    versions = api.artifacts("evaluation", f"tester/tables/run_{run_id}_pred")
    found[run_id] = {
        "data": [read(a, "val_data") for a in run.used_artifacts() if a.type == "dataset"],
        "predictions": [read(a, "eval_data") for a in versions],
    }
print(json.dumps(found))
