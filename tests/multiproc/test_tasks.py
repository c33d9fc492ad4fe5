"""The ready-made evaluators: exact metrics, few bytes, tables that can be read back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from multiproc.running import SINGLE, Launch, check
from wandb_backend.fixture import WandbBackend

LAUNCHES: list[Launch] = [SINGLE, ("horovod", 3)]
MEASURED = ["classification", "regression", "segmentation", "detection", "text"]
TASKS = {
    "single": [*MEASURED, "worst", "mixed"],
    "horovod": [*MEASURED, "wide"],
}
EPOCHS = 2
PIXELS = 36 * 36
# Samples of each task.
SAMPLES = {"classification": 600, "wide": 200, "worst": 200, "mixed": 100, "regression": 442,
           "segmentation": 50, "detection": 60, "text": 120}  # fmt: skip
ROWS = {
    "classification": 40,
    "wide": 200,
    "worst": 5,
    "mixed": 100,
    "regression": 442,
    "segmentation": 10,
    "detection": 20,
    "text": 30,
}
# The charts and tables, beside numbers, that each task logs into the workspace of its run.
CURVES = {"pr_curve", "roc_curve", "confusion_matrix"}
LOGGED = {
    "classification": {"predictions", *(f"{name}_table" for name in CURVES)},
    "mixed": {f"{name}_table" for name in CURVES},
    "wide": set(),
    "worst": {"confusion_matrix_table"},
    "regression": {"scatter_table", "residuals"},
    "segmentation": set(),
    "detection": {"predictions"},
    "text": set(),
}
# The column by which the worst come first, and its sign.
WORST = {"segmentation": ("iou", 1), "worst": ("loss", -1), "text": ("score", 1)}
# The metrics of each task in the first launch; those of all other launches must be equal.
first: dict[str, dict[str, float]] = {}


def versions(state: dict[str, Any], collection: str) -> list[dict[str, Any]]:
    return [a for a in state["artifacts"] if a["collection"] == collection]


def sent(version: dict[str, Any]) -> float:
    """Returns the bytes sent to the chief for each sample that another rank evaluated."""
    _, *others = version["metadata"]["receipts"]
    samples = sum(count * times for rank in others for _, count, _, times in rank)
    # Each rank also sends the sum of the compiled loss, and its count.
    loss = 2 * 8 * len(others)
    return (version["metadata"]["bytes"] - loss) / max(samples, 1)


@pytest.mark.parametrize("launch", LAUNCHES, ids=str)
def test_metrics_bytes_and_references(launch: Launch, wandb_backend: WandbBackend) -> None:
    tasks = TASKS[launch[0]]
    env = wandb_backend.client_env("writer")
    output = check("tasks_evaluate.py", *tasks, launch=launch, env=env)
    (line,) = [line for line in output.splitlines() if "expected {" in line]
    expected = json.loads(line[line.index("{") :])
    state = wandb_backend.state()
    assert not any(artifact["dangling"] for artifact in state["artifacts"])
    histories = {run["id"]: run["history"] for run in state["runs"].values()}
    for task in tasks:
        assert expected[task] == pytest.approx(first.setdefault(task, expected[task]), abs=1e-6)
        run_id = f"{task}-{'-'.join(map(str, launch))}"
        logged = versions(state, f"run_{run_id}_pred")
        assert len(logged) == EPOCHS
        assert len(histories[run_id]) == EPOCHS, "one step of the run for each evaluation"
        for version in logged:
            metadata = version["metadata"]
            history = histories[run_id][metadata["epoch"]]
            shown = {key for key, value in history.items() if isinstance(value, dict)}
            assert shown == {f"eval/{name}" for name in LOGGED[task]}
            assert metadata["samples"] == SAMPLES[task]
            for name, value in expected[task].items():
                assert metadata["metrics"][name] == pytest.approx(value, abs=1e-6), name
                assert history[f"eval/{name}"] == metadata["metrics"][name]
            pictures = {p: e for p, e in version["manifest"].items() if "media/images/" in p}
            new = [path for path, entry in pictures.items() if not entry.get("ref")]
            if task == "segmentation":
                assert all("media/images/mask/" in path for path in new)
                assert len(new) <= ROWS[task]
            else:
                assert not new
    if launch == SINGLE:
        check_reading(wandb_backend)
        check_worst(state)
    if launch[0] != "horovod":
        return
    initial = {t: versions(state, f"run_{t}-{'-'.join(map(str, launch))}_pred")[0] for t in tasks}
    # The classes, their scores and the loss, instead of 4,000 bytes of probabilities.
    assert sent(initial["wide"]) == 3 * 2 + 3 * 4 + 4 <= 40
    assert sent(initial["segmentation"]) == PIXELS
    assert sent(initial["regression"]) == 4


def check_reading(wandb_backend: WandbBackend) -> None:
    """Reads the tables of the single launch back in another process, and checks them."""
    run_ids = [f"{task}-single-1" for task in TASKS["single"]]
    reading = check("tasks_read.py", *run_ids, env=wandb_backend.client_env("reader"))
    found = json.loads(reading.splitlines()[-1])
    for run_id in run_ids:
        task = run_id.partition("-")[0]
        *_, data = sorted(found[run_id]["data"], key=lambda table: table["version"])
        assert len(data["rows"]) == ROWS[task]
        for version in found[run_id]["predictions"]:
            columns = version["columns"]
            assert columns[:2] == ["epoch", "index"]
            assert len(version["rows"]) == ROWS[task]
            indices = [row[1] for row in version["rows"]]
            if task != "worst" or "latest" in version["aliases"]:
                assert indices == [row[0] for row in data["rows"]]
            if task in WORST:
                column, sign = WORST[task]
                losses = [sign * row[columns.index(column)] for row in version["rows"]]
                assert losses == sorted(losses), "the worst first"
            else:
                assert indices == sorted(indices)
            check_cells(task, [dict(zip(columns, row, strict=True)) for row in version["rows"]])


def check_worst(state: dict[str, Any]) -> None:
    """Checks that each version refers to a ground-truth table of its own rows."""
    used = [a for a in state["artifacts"] if "worst-single-1" in a["used_by"]]
    assert len(used) == EPOCHS
    tables = [a["manifest"]["val_data.table.json"]["digest"] for a in used]
    assert len(set(tables)) == EPOCHS


def check_cells(task: str, rows: list[dict[str, Any]]) -> None:
    """Checks what only the rows of this task have."""
    if task == "classification":
        assert {row["label"] for row in rows} == {f"digit {i}" for i in range(10)}
        for row in rows:
            assert row["correct"] == (row["label"] == row["prediction"])
            assert row["prediction"] == row["top_k"][0]
            assert row["confidence"] == row["top_k_scores"][0] == max(row["probabilities"])
        assert max(row["image"]["extrema"][1] for row in rows) == 255, "not rescaled"
    elif task == "mixed":
        assert [row["text/note"] for row in rows[:2]] == ["a <b>0</b>", "a <b>1</b>"]
        assert rows[0]["x/facts/1"] is None, "W&B has no NaN"
        for row in rows:
            assert row["image"]["mode"] == "RGB"
            assert row["image/depth"]["mode"] == "L"
            assert row["image"]["extrema"] == [row["image/depth"]["extrema"]] * 3
            assert row["label"] == ("high" if int(row["text/note"][5]) >= 5 else "low")
    elif task == "regression":
        for row in rows:
            assert row["residual"] == row["target"] - row["prediction"]
            assert row["squared_error"] == pytest.approx(row["residual"] ** 2)
            assert "x/9" in row
    elif task == "segmentation":
        for row in rows:
            assert set(row["image"]["masks"]) == {"ground_truth", "predictions"}
        seen = {pixel for row in rows for pixel in row["image"]["masks"]["ground_truth"]}
        assert 11 in seen, "ignored pixels are one more class"
    elif task == "text":
        for row in rows:
            assert len(row["output"]) == len(row["reference"])
            assert row["output"] == row["prompt"], "the model returns its input"
            assert row["exact_match"] == (row["output"] == row["reference"])
            assert 0 < row["score"] < 100
            assert row["words"] == str(len(row["reference"].split()))
        assert any("七" in row["reference"] for row in rows)
    elif task == "detection":
        for row in rows:
            boxes = row["image"]["boxes"]
            assert boxes["ground_truth"] == row["true_positives"] + row["false_negatives"]
            assert boxes["predictions"] == row["true_positives"] + row["false_positives"]
        assert any(row["true_positives"] for row in rows)
