"""Texts from the training of a model on two ranks to the tables that are read back."""

from __future__ import annotations

import json

import sacrebleu

from multiproc.running import check
from wandb_backend.fixture import WandbBackend


def test_a_model_learns_to_reverse_words(wandb_backend: WandbBackend) -> None:
    env = wandb_backend.client_env("writer") | {"WANDB_ENTITY": "tester"}
    output = check("text_train.py", launch=("horovod", 2), env=env)
    assert output.count("ended after") == 2, output
    found = json.loads(
        check("read_tables.py", "reversal", env=wandb_backend.client_env("reader")).splitlines()[-1]
    )
    versions = found["predictions"]
    last = versions[f"v{len(versions) - 1}"]
    metrics = [versions[f"v{i}"]["metadata"]["metrics"] for i in range(len(versions))]
    assert metrics[0]["exact_match"] < 0.5
    assert metrics[-1]["exact_match"] > 0.9
    assert {"latest", "best"} <= set(last["aliases"])
    rows = [dict(zip(last["columns"], row, strict=True)) for row in last["rows"]]
    assert len(rows) == 100
    for row in rows:
        assert row["reference"] == row["prompt"][::-1]
        assert row["exact_match"] == (row["output"] == row["reference"])
        assert row["score"] == sacrebleu.sentence_chrf(row["output"], [row["reference"]]).score
    assert sum(row["exact_match"] for row in rows) > 80
    # What was not yet right in the version before is in the column of that.
    previous = versions[f"v{len(versions) - 2}"]
    outputs = [row[previous["columns"].index("output")] for row in previous["rows"]]
    assert [row["previous"] for row in rows] == outputs
    assert [row["changed"] for row in rows] == [
        row["output"] != before for row, before in zip(rows, outputs, strict=True)
    ]
