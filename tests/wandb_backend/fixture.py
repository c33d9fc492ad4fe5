"""The pytest fixture: a server of its own for a test, and what a client needs to talk to it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from .common import b64_to_hex
from .faults import Faults

ROOT = Path(__file__).parents[2]
# A proxy from the environment must not see what is meant for loopback.
_opener = build_opener(ProxyHandler({}))


class WandbBackend:
    """A server in a process of its own.

    Args:
        directory: Uploads, the server's log and the directories of the clients go here.

    Attributes:
        url: What clients take as `WANDB_BASE_URL`.
        env: Environment variables for a client process.
        uploads: Where the server keeps what was uploaded.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.uploads = directory / "server"
        directory.mkdir(parents=True, exist_ok=True)
        self._log = (directory / "server.log").open("w")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.wandb_backend", "--dir", self.uploads],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            self.stop()
            raise RuntimeError((directory / "server.log").read_text())
        self.env = self.client_env("client")

    def client_env(self, name: str) -> dict[str, str]:
        """Environment variables for a client with directories, and so with caches, of its own."""
        home = self.directory / name
        folders = {
            f"WANDB_{kind}_DIR": str(home / kind.lower())
            for kind in ("CACHE", "ARTIFACT", "CONFIG", "DATA")
        }
        home.mkdir(exist_ok=True)
        return {
            "WANDB_BASE_URL": self.url,
            "WANDB_API_KEY": "loopback" * 5,
            "WANDB_MODE": "online",
            "WANDB_DIR": str(home),
            "WANDB_SILENT": "true",
            "WANDB_ERROR_REPORTING": "false",
            "WANDB_DISABLE_GIT": "true",
            "WANDB_DISABLE_CODE": "true",
            "NO_PROXY": "127.0.0.1",
            **folders,
        }

    def state(self) -> dict[str, Any]:
        """What the server knows, as `State.snapshot` tells it."""
        with _opener.open(f"{self.url}/_state", timeout=60) as answer:
            return json.load(answer)

    def content(self, artifact: dict[str, Any], path: str) -> Any:
        """What a JSON file holds, of an artifact as `state` tells it."""
        digest = b64_to_hex(artifact["manifest"][path]["digest"])
        folder = self.uploads / "artifacts" / artifact["entity"] / artifact["project"]
        return json.loads((folder / artifact["collection"] / digest).read_text())

    def faults(self, **plan: Any) -> None:
        """Replaces the plan of faults by `plan` (see `faults.Faults`); without any, clears it."""
        body = json.dumps(asdict(Faults(**plan))).encode()
        _opener.open(Request(f"{self.url}/_faults", body), timeout=60).close()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=30)
        self._process.stdout.close()
        self._log.close()


@pytest.fixture
def wandb_backend(tmp_path: Path) -> Iterator[WandbBackend]:
    """A server that lives as long as the test."""
    backend = WandbBackend(tmp_path / "wandb_backend")
    yield backend
    backend.stop()
