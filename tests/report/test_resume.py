"""Reports of runs that were resumed: offline, and online with `keep_local=True`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from playwright.sync_api import Page

from disteval.report.build import build_report
from disteval.report.read import read_run
from multiproc.running import check
from report.browser import NEEDS_CHROMIUM, choose, count
from report.running import TOP, log_run
from wandb_backend.fixture import WandbBackend

# The second part begins with an epoch that the first one evaluated, too.
PARTS = (("--epochs=3",), ("--first-epoch=2", "--epochs=4", "--seed=1"))


def log_parts(
    directory: Path, *args: object, env: Mapping[str, str] | None = None
) -> tuple[Path, Path]:
    """Logs the parts of a run in processes of their own, and returns their directories."""
    first, second = (
        log_run(directory, "--id=resumed", "--rows=20", *part, *args, env=env) for part in PARTS
    )
    return first, second


def check_versions(directory: Path) -> None:
    """Asserts that a directory leads to the versions of both parts."""
    versions = read_run(directory).versions
    assert [version.metadata["epoch"] for version in versions] == [0, 1, 2, 2, 3]
    speeds = [version.scalars["eval/samples_per_sec"] for version in versions]
    assert speeds == [1000, 1001, 1002, 1102, 1103]
    for version in versions:
        assert version.columns["index"] == list(range(20))
        assert len(version.columns["label"]) == 20
        assert all(version.files[cell["path"]].exists() for cell in version.columns["image"])
    assert versions[2].columns["loss"] != versions[3].columns["loss"]
    assert [i for i, version in enumerate(versions) if "best" in version.aliases] == [4]


def test_offline(tmp_path: Path) -> None:
    for directory in log_parts(tmp_path, "--reference=media"):
        check_versions(directory)


def test_online(wandb_backend: WandbBackend) -> None:
    env = wandb_backend.client_env("online")
    args = ("--reference=row", "--mode=online", "--keep-local")
    for directory in log_parts(wandb_backend.directory / "online", *args, env=env):
        check_versions(directory)


@NEEDS_CHROMIUM
def test_page(show: Callable[[Path], Page], tmp_path: Path) -> None:
    first, _ = log_parts(tmp_path)
    path = tmp_path / "report.html"
    script = tmp_path / "report.py"
    script.write_text("import sys; from disteval.__main__ import main; sys.exit(main())")
    check(script, "report", tmp_path / "wandb", "-o", path, env={"PYTHONPATH": str(TOP)})
    page = show(path)
    names = ["Epoch 0", "Epoch 1", "Epoch 2", "Epoch 2 (2)", "Epoch 3"]
    options = page.locator("#first option").all_inner_texts()
    assert options == [*names[:-1], "Epoch 3 (best)"]
    assert count(page) == 20
    choose(page, "second", "Epoch 2 (2)")
    small = page.locator(".sample").first.locator(".prediction small").all_inner_texts()
    assert small == ["Epoch 3", "Epoch 2 (2)"]
    # Over epochs, not over the steps of two parts.
    dots = page.locator("#charts figure").nth(1).locator("circle.line-0")
    places = [float(x or 0) for x in dots.evaluate_all("all => all.map(d => d.getAttribute('cx'))")]
    assert places[2] == places[3]
    assert places == sorted(places)
    assert build_report(first, tmp_path / "other.html").read_text() == path.read_text()
