"""The server against an unmodified client: runs, artifacts, and reading them back."""

import math
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from .fixture import WandbBackend
from .running import client_environment, run_client

WRITER = "tester/demo/writer"


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WandbBackend]:
    """A server that holds what `clients.write` logged."""
    backend = WandbBackend(tmp_path_factory.mktemp("wandb_backend"))
    run_client(backend, "write")
    yield backend
    backend.stop()


@pytest.fixture(scope="module")
def state(backend: WandbBackend) -> dict[str, Any]:
    return backend.state()


@pytest.fixture(scope="module")
def read(backend: WandbBackend, state: dict[str, Any]) -> dict[str, Any]:
    """What another process, with caches of its own, reads back."""
    return run_client(backend, "read", home="reader")


def versions(state: dict[str, Any], collection: str) -> list[dict[str, Any]]:
    return [a for a in state["artifacts"] if a["collection"] == collection]


def test_run_is_recorded(state: dict[str, Any]) -> None:
    run = state["runs"][WRITER]
    assert run["config"] == {"lr": 0.1}
    assert (run["tags"], run["group"]) == (["a", "b"], "g")
    assert (run["state"], run["exit_code"]) == ("finished", 0)
    assert [(row["_step"], row["loss"]) for row in run["history"]] == [(0, 1), (1, 0), (2, -1)]
    assert run["summary"]["loss"] == -1
    assert math.isnan(run["summary"]["odd"])
    assert run["console"][0].endswith("to the console")
    assert {"config.yaml", "output.log", "wandb-summary.json"} <= set(run["files"])


def test_files_are_kept_on_disk(backend: WandbBackend) -> None:
    log = backend.uploads / "runs" / WRITER / "output.log"
    assert "to the console" in log.read_text()


def test_versions_and_aliases_move(state: dict[str, Any]) -> None:
    found = {a["version"]: (a["aliases"], a["metadata"]) for a in versions(state, "pred")}
    assert found == {
        "v0": (["epoch_0"], {"epoch": 0}),
        "v1": (["best", "epoch_1"], {"epoch": 1}),
        "v2": (["epoch_2", "latest"], {"epoch": 2}),
    }


def test_used_draft_is_an_input_only(state: dict[str, Any]) -> None:
    (data,) = versions(state, "val")
    assert (data["created_by"], data["used_by"], data["state"]) == (None, ["writer"], "COMMITTED")
    run = state["runs"][WRITER]
    assert run["used"] == ["tester/demo/val:v0"]
    assert "tester/demo/pred:v2" in run["logged"]
    assert "tester/demo/val:v0" not in run["logged"]


def test_content_logged_again_is_one_version(state: dict[str, Any]) -> None:
    (same,) = versions(state, "same")
    assert same["aliases"] == ["first", "latest", "second", "third"]
    committed = [a for a in state["artifacts"] if a["state"] == "COMMITTED"]
    assert state["requests"]["CreateArtifact"] == len(committed) + 2 == 7
    assert state["requests"]["CommitArtifact"] == len(committed)


def test_references_are_resolved_and_copy_nothing(state: dict[str, Any]) -> None:
    (data,) = versions(state, "val")
    media = {path for path in data["manifest"] if path.startswith("media/images/")}
    assert len(media) == 3
    for predictions in versions(state, "pred"):
        own = {p: e for p, e in predictions["manifest"].items() if "ref" not in e}
        assert set(own) == {"classes.txt", "eval_data.table.json"}
        assert media < set(predictions["manifest"])
        assert predictions["dangling"] == []
    # Three images and their table; a table for each of three versions, their classes; one note.
    assert state["uploads"]["artifacts"] == (3 + 1) + (3 + 1) + 1
    own_sizes = {
        (artifact["collection"], entry["digest"]): entry["size"]
        for artifact in state["artifacts"]
        for entry in artifact["manifest"].values()
        if "ref" not in entry
    }
    assert state["bytes_uploaded"]["artifacts"] == sum(own_sizes.values())


def test_nothing_was_refused(state: dict[str, Any], read: dict[str, Any]) -> None:
    assert state["rejected"] == []
    assert state["faulted"] == 0


def test_tables_are_read_back(read: dict[str, Any]) -> None:
    assert read["columns"] == ["image", "score", "row"]
    assert read["shades"] == [0, 100, 200]
    assert read["scores"] == [1.0, 1.5, 2.0]
    assert read["rows"] == read["data"] == [0, 1, 2]


def test_artifacts_are_listed(read: dict[str, Any]) -> None:
    assert read["metadata"] == {"epoch": 1}
    assert read["aliases"] == ["best", "epoch_1"]
    assert read["versions"] == ["pred:v2", "pred:v1", "pred:v0"]
    assert read["files"][:2] == ["classes.txt", "eval_data.table.json"]
    assert read["exists"] is False
    assert read["chosen"] == "v1"


def test_lineage_is_listed(read: dict[str, Any]) -> None:
    assert read["logged_by"] == "writer"
    assert read["used_by"] == ["writer"]
    assert read["logged"] == ["pred:v0", "pred:v1", "pred:v2", "same:v0"]
    assert read["used"] == ["val:v0"]


def test_run_is_read_back(read: dict[str, Any]) -> None:
    assert read["runs"] == ["writer"]
    assert read["history"] == [1, 0, -1]
    assert read["history_of_key"] == [{"_step": i, "loss": 1 - i} for i in range(3)]
    assert read["summary"] == -1
    assert read["config"] == {"lr": 0.1}


def test_run_is_resumed(backend: WandbBackend, read: dict[str, Any]) -> None:
    resumed = run_client(backend, "resume", home="resumer")
    assert resumed["step"] == 3
    assert "unknown" in resumed["error"]
    run = backend.state()["runs"][WRITER]
    assert [row["loss"] for row in run["history"]] == [1, 0, -1, -9]
    assert run["state"] == "finished"
    assert run["config"] == {"lr": 0.1}
    assert run["used"] == ["tester/demo/val:v0", "tester/demo/pred:v1"]


def test_offline_run_is_synced(wandb_backend: WandbBackend) -> None:
    directory = run_client(wandb_backend, "offline", WANDB_MODE="offline")["directory"]
    assert wandb_backend.state()["requests"] == {}
    subprocess.run(
        [sys.executable, "-m", "wandb", "sync", directory],
        env=client_environment(wandb_backend, home="syncer"),
        check=True,
        capture_output=True,
        timeout=120,
    )
    state = wandb_backend.state()
    run = state["runs"]["tester/demo/offline"]
    assert (run["state"], run["summary"]["loss"]) == ("finished", 0.5)
    assert sorted(run["logged"]) == ["tester/demo/pred:v0", "tester/demo/val:v0"]
    (predictions,) = versions(state, "pred")
    assert predictions["aliases"] == ["best", "epoch_0", "latest"]
    assert len(predictions["manifest"]) == 6
    assert predictions["dangling"] == []


def test_committed_data_survives_a_killed_client(wandb_backend: WandbBackend) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        run_client(wandb_backend, "crash")
    state = wandb_backend.state()
    (data,) = versions(state, "val")
    assert (data["state"], data["used_by"]) == ("COMMITTED", ["crash"])
    assert state["runs"]["tester/demo/crash"]["state"] != "finished"
