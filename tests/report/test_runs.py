"""Reports of real runs: offline, synced, and online with `keep_local=True`."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from disteval.errors import DistEvalError
from disteval.report.build import build_report
from disteval.report.parts import find_run
from disteval.report.read import read_run
from disteval.tables import packages
from multiproc.running import BIN, check
from report.running import HERE, TOP, log_run, read_page
from wandb_backend.fixture import WandbBackend

NAMES = ["triangle", "square", "pentagon", "hexagon"]


@pytest.fixture(scope="module")
def runs(shapes_run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Directories of equal offline runs, by how their predictions refer to the data."""
    by_row = log_run(tmp_path_factory.mktemp("runs"), "--rows", 200, "--reference", "row")
    return {"media": shapes_run, "row": by_row}


@pytest.mark.parametrize("reference", ["media", "row"])
def test_offline_run(reference: str, runs: dict[str, Path]) -> None:
    run = read_run(runs[reference])
    assert run.project == "shapes"
    assert [version.metadata["epoch"] for version in run.versions] == [0, 1, 2]
    for epoch, version in enumerate(run.versions):
        columns = version.columns
        assert {"index", "image", "label", "prediction", "confidence", "loss"} <= set(columns)
        assert columns["index"] == list(range(200))
        assert set(columns["label"]) == set(NAMES)
        assert all(version.files[cell["path"]].exists() for cell in columns["image"])
        of_classes = {f"eval/recall/{name}" for name in NAMES}
        assert version.scalars.keys() == {"eval/samples_per_sec", *of_classes}
        assert version.scalars["eval/samples_per_sec"] == 1000 + epoch


def test_both_references_make_one_page(runs: dict[str, Path], tmp_path: Path) -> None:
    media, row = (
        read_page(build_report(run, tmp_path / f"{name}.html")) for name, run in runs.items()
    )
    assert media["pictures"] == row["pictures"]
    for ours, theirs in zip(media["versions"], row["versions"], strict=True):
        assert ours["roles"] == theirs["roles"]
        for name in ("image", "label", "prediction", "confidence", "loss"):
            one, other = ours["columns"][name], theirs["columns"][name]
            assert media["columns"][one] == row["columns"][other]


def test_newest_run_is_found(runs: dict[str, Path], tmp_path: Path) -> None:
    for name in ("run-20260101_120000-aaaa", "offline-run-20260102_120000-bbbb"):
        shutil.copytree(runs["media"], tmp_path / "wandb" / name)
    assert find_run(tmp_path / "wandb").name == "offline-run-20260102_120000-bbbb"
    first = tmp_path / "wandb/run-20260101_120000-aaaa"
    assert find_run(first) == first.resolve()


def test_run_that_is_still_written(runs: dict[str, Path], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(runs["media"], run)
    (log,) = run.glob("*.wandb")
    data = log.read_bytes()
    log.write_bytes(data[: len(data) // 2])
    assert 1 <= len(read_run(run).versions) < 3
    log.write_bytes(data[:8])
    with pytest.raises(DistEvalError, match="no predictions"):
        read_run(run)


def test_tables_that_are_gone(runs: dict[str, Path], tmp_path: Path) -> None:
    staged = runs["media"].parents[1] / "artifacts"
    staged.rename(tmp_path / "moved")
    try:
        with pytest.raises(DistEvalError, match="no longer on this machine"):
            build_report(runs["media"], tmp_path / "report.html")
    finally:
        (tmp_path / "moved").rename(staged)


def test_synced_run_and_kept_run_make_the_same_page(
    wandb_backend: WandbBackend, tmp_path: Path
) -> None:
    offline = wandb_backend.client_env("offline") | {"WANDB_MODE": "offline"}
    run = log_run(wandb_backend.directory / "offline", env=offline)
    before = read_page(build_report(run, tmp_path / "report.html"))
    subprocess.run([BIN / "wandb", "sync", run], env=os.environ | offline, check=True)
    assert read_page(build_report_in(offline, run, tmp_path)) == before

    online = wandb_backend.client_env("online")
    kept = log_run(wandb_backend.directory / "online", "--mode=online", "--keep-local", env=online)
    assert not list(packages.find(kept)), "nothing is left to upload"
    page = read_page(build_report(kept, tmp_path / "report.html"))
    assert page["pictures"] == before["pictures"]
    assert page["versions"] == before["versions"]


def build_report_in(env: dict[str, str], run: Path, directory: Path) -> Path:
    """Makes a report where W&B's cache is that of a client."""
    script = directory / "report.py"
    script.write_text("import sys; from disteval.__main__ import main; sys.exit(main())")
    output = directory / "report.html"
    check(script, "report", run, "-o", output, env={"PYTHONPATH": str(TOP), **env})
    return output


def test_evaluator_keeps_an_online_run(wandb_backend: WandbBackend, tmp_path: Path) -> None:
    env = wandb_backend.client_env("online")
    script = HERE / "make_evaluations.py"
    run = log_run(wandb_backend.directory / "online", "worst", script=script, env=env)
    versions = read_run(run).versions
    page = read_page(build_report(run, tmp_path / "report.html"))
    assert [version["epoch"] for version in page["versions"]] == [0, 1]
    assert page["classes"] == [f"digit {digit}" for digit in range(10)]
    for version, shown in zip(versions, page["versions"], strict=True):
        assert (shown["rows"], shown["samples"]) == (30, 300)
        assert shown["roles"] == {
            "picture": "image",
            "truth": "label",
            "prediction": "prediction",
            "confidence": "confidence",
            "correct": "correct",
            "loss": "loss",
            "key": "index",
        }
        assert sum(number for *_, number in shown["confusion"]) == 300, "of all samples"
        assert all(version.files[cell["path"]].exists() for cell in version.columns["image"])
        assert {"loss", "eval/f1/digit 7", "eval/samples_per_sec"} <= set(shown["metrics"])
    uploaded = [a["type"] for a in wandb_backend.state()["artifacts"]]
    assert uploaded.count("dataset") == uploaded.count("evaluation") == 2, "uploaded, too"


def test_online_run_that_kept_nothing(wandb_backend: WandbBackend) -> None:
    env = wandb_backend.client_env("online")
    run = log_run(wandb_backend.directory / "online", "--mode=online", env=env)
    with pytest.raises(DistEvalError, match="keep_local=True"):
        read_run(run)


def test_no_run_and_no_rows(tmp_path: Path) -> None:
    with pytest.raises(DistEvalError, match="There is no W&B run in"):
        build_report(tmp_path)
    with pytest.raises(DistEvalError, match="Received: rows=0"):
        build_report(tmp_path, rows=0)
