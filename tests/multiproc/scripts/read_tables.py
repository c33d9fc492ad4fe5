"""Reads the tables of a run back from the server, and prints them as JSON."""

from __future__ import annotations

import hashlib
import json
import sys

import wandb


def cell(value: object) -> object:
    if isinstance(value, wandb.Image):
        return hashlib.md5(value.image.tobytes()).hexdigest()
    return value


run_id = sys.argv[1]
api = wandb.Api()
tables = {}
for version in api.artifacts("evaluation", f"tester/tables/run_{run_id}_pred"):
    table = version.get("eval_data")
    tables[version.version] = {
        "aliases": sorted(version.aliases),
        "columns": table.columns,
        "rows": [[cell(value) for value in row] for row in table.data],
        "metadata": version.metadata,
        "files": {
            path: [entry.size, entry.ref] for path, entry in version.manifest.entries.items()
        },
    }
data = api.run(f"tester/tables/{run_id}").logged_artifacts()
used = api.run(f"tester/tables/{run_id}").used_artifacts()
source = next(a for a in [*used, *data] if a.type == "dataset")
table = source.get("val_data")
print(
    json.dumps(
        {
            "predictions": tables,
            "data": {
                "name": source.name,
                "columns": table.columns,
                "rows": [[cell(value) for value in row] for row in table.data],
                "files": sorted(source.manifest.entries),
            },
            "used": sorted(a.name for a in used),
        }
    )
)
