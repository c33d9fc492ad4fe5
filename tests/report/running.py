"""Runs to make reports of, logged by processes of their own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from multiproc.running import check

HERE = Path(__file__).parent
TOP = Path(__file__).resolve().parents[2]
TRAIN = TOP / "launch/train.py"
SCRIPTS = TOP / "tests/multiproc/scripts"


def offline_env(directory: Path) -> dict[str, str]:
    """Returns variables with which W&B keeps to a directory."""
    names = ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_ARTIFACT_DIR")
    return dict.fromkeys(names, str(directory)) | {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}


def log_run(
    directory: Path, *args: object, script: str | Path = "", env: Mapping[str, str] | None = None
) -> Path:
    """Logs a run with `make_run.py`, or another script, and returns its directory."""
    (run,) = log_runs(directory, *args, script=script, env=env)
    return run


def log_runs(
    directory: Path, *args: object, script: str | Path = "", env: Mapping[str, str] | None = None
) -> list[Path]:
    """Logs runs with a script, and returns their directories."""
    env = offline_env(directory) if env is None else env
    before = set(directory.glob("wandb/*run-*"))
    check(
        script or HERE / "make_run.py",
        *args,
        env={"PYTHONPATH": f"{TOP}:{SCRIPTS}", **env},
        timeout=600,
    )
    return sorted(set(directory.glob("wandb/*run-[0-9]*")) - before)


def read_page(path: Path) -> dict:
    """Returns the data in a page."""
    text = path.read_text().split('<script type="application/json" id="data">')[1]
    return json.loads(text.split("</script>")[0])
