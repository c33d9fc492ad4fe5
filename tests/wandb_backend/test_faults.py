"""What a client makes of injected faults: it tries again, and everything arrives once."""

import subprocess
import time
from collections.abc import Callable
from typing import Any
from urllib.error import HTTPError

import pytest

from .faults import Faults
from .fixture import ROOT, WandbBackend
from .running import client_command, client_environment, request, run_client


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.05)


def assert_trained(state: dict[str, Any]) -> None:
    """Everything that `clients.train` logged has arrived, once."""
    run = state["runs"]["tester/demo/train"]
    assert (run["state"], run["summary"]["loss"]) == ("finished", 0.5)
    assert [row["loss"] for row in run["history"]] == [0.5]
    artifacts = {a["path"]: a["dangling"] for a in state["artifacts"]}
    assert artifacts == {"tester/demo/val:v0": [], "tester/demo/pred:v0": []}
    assert state["rejected"] == []


def test_first_request_fails(wandb_backend: WandbBackend) -> None:
    wandb_backend.faults(fail_first=1)
    run_client(wandb_backend, "train")
    state = wandb_backend.state()
    assert state["faulted"] == 1
    assert_trained(state)


def test_some_requests_fail(wandb_backend: WandbBackend) -> None:
    wandb_backend.faults(fail_fraction=0.05, seed=3)
    run_client(wandb_backend, "train")
    state = wandb_backend.state()
    assert state["faulted"] == 2
    assert_trained(state)


def test_answers_are_slow(wandb_backend: WandbBackend) -> None:
    wandb_backend.faults(delay=0.1)
    start = time.monotonic()
    with pytest.raises(HTTPError):
        request("GET", f"{wandb_backend.url}/nothing")
    assert time.monotonic() - start >= 0.1
    run_client(wandb_backend, "train")
    assert_trained(wandb_backend.state())


def test_uploads_are_dropped(wandb_backend: WandbBackend) -> None:
    wandb_backend.faults(drop_uploads=3)
    run_client(wandb_backend, "train")
    state = wandb_backend.state()
    assert state["faulted"] == 3
    assert state["requests"]["upload"] == sum(state["uploads"].values()) + 3
    assert_trained(state)


def test_backend_is_gone_for_a_while(wandb_backend: WandbBackend) -> None:
    wandb_backend.faults(gone_after=12)
    client = subprocess.Popen(
        client_command("train"), cwd=ROOT, env=client_environment(wandb_backend)
    )
    try:
        wait_until(lambda: wandb_backend.state()["faulted"] > 0)
        state = wandb_backend.state()
        assert sum(state["requests"].values()) == 12 + state["faulted"]
        wandb_backend.faults()
        assert client.wait(timeout=120) == 0
    finally:
        client.kill()
        client.wait()
    assert_trained(wandb_backend.state())


def test_refusal_is_not_retried(wandb_backend: WandbBackend) -> None:
    wandb_backend.faults(only=["CreateArtifact"], fail_first=1, status=400)
    refused = run_client(wandb_backend, "fail_to_log")
    assert "injected failure" in refused["error"]
    state = wandb_backend.state()
    assert (state["faulted"], state["artifacts"]) == (1, [])
    assert state["requests"]["CreateArtifact"] == 1


def outcomes(names: list[str], **plan: Any) -> list[str]:
    faults = Faults(**plan)
    return [faults.next(name).value for name in names]


def test_fraction_is_decided_by_the_seed() -> None:
    names = ["upload"] * 1000
    first, again = (outcomes(names, fail_fraction=0.02, seed=1) for _ in range(2))
    assert first == again
    assert first != outcomes(names, fail_fraction=0.02, seed=2)
    assert 5 < first.count("fail") < 40


def test_plans_count_the_requests_they_are_about() -> None:
    names = ["upload", "Viewer", "upload", "Viewer", "upload"]
    assert outcomes(names) == ["answer"] * 5
    assert outcomes(names, fail_first=2) == ["fail"] * 2 + ["answer"] * 3
    assert outcomes(names, gone_after=3) == ["answer"] * 3 + ["close"] * 2
    assert outcomes(names, close_first=2) == ["close"] * 2 + ["answer"] * 3
    assert outcomes(names, cut_first=1) == ["cut"] + ["answer"] * 4
    assert outcomes(names, drop_uploads=1) == ["drop"] + ["answer"] * 4
    assert outcomes(names, drop_uploads=2) == ["drop", "answer", "drop", "answer", "answer"]
    assert outcomes(names, only=["Viewer"], fail_first=1) == ["answer", "fail"] + ["answer"] * 3
