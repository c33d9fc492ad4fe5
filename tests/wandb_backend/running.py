"""Client processes, and single requests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

from .fixture import ROOT, WandbBackend


def client_environment(backend: WandbBackend, home: str = "client", **more: str) -> dict[str, str]:
    """The environment of a client, without what W&B settings the tests themselves run under."""
    outer = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
    return {**outer, **backend.client_env(home), **more}


def client_command(function: str) -> list[str]:
    return [sys.executable, "-m", "tests.wandb_backend.clients", function]


def run_client(backend: WandbBackend, function: str, home: str = "client", **more: str) -> Any:
    """Runs one function of `clients.py` in a process of its own and returns its result."""
    done = subprocess.run(
        client_command(function),
        cwd=ROOT,
        env=client_environment(backend, home, **more),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
    )
    return json.loads(done.stdout.splitlines()[-1])


def request(method: str, url: str, body: bytes | None = None) -> bytes:
    """Sends one request past any proxy and returns the body of the answer."""
    with build_opener(ProxyHandler({})).open(Request(url, body, method=method), timeout=60) as got:
        return got.read()
