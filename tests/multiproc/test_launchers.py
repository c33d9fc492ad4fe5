"""The same job through each launcher gives the same tables; nothing shows the W&B key."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from multiproc.hosts import HERE, THERE, Hosts, can_make_hosts, two_hosts
from multiproc.launching import LAUNCH, exposures, launch, read
from multiproc.running import BIN
from wandb_backend.fixture import WandbBackend

# Nothing is learned, so that each way of running evaluates the same weights.
JOB = ["--epochs", "1", "--samples", "40", "--learning-rate", "0"]
KERAS_2 = {"TF_USE_LEGACY_KERAS": "1"}
CONFIDENCE = 5

needs_hosts = pytest.mark.skipif(not can_make_hosts(), reason="needs root, for another host")


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WandbBackend]:
    """The W&B of all jobs here."""
    server = WandbBackend(tmp_path_factory.mktemp("wandb"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    with two_hosts(tmp_path_factory.mktemp("hosts") / "bin") as both:
        yield both


@pytest.fixture(scope="module")
def run(backend: WandbBackend) -> Callable[..., dict[str, Any]]:
    """Runs a launcher, and returns the tables of its one W&B run."""

    def run(
        name: str, *options: str | Path, inside: Sequence[str] = (), **env: str
    ) -> dict[str, Any]:
        before = len(backend.state()["runs"])
        env = backend.client_env("writer") | env
        output = launch(name, *options, *JOB, inside=inside, env=env)
        assert "of 40 samples" in output
        assert len(backend.state()["runs"]) == before + 1, "one W&B run for each job"
        return read(backend)

    return run


@pytest.fixture(scope="module")
def compare(run: Callable[..., dict[str, Any]]) -> Callable[..., None]:
    """Compares tables with those of one device, cell by cell, under the same Keras."""

    @functools.cache
    def one_device(keras_2: bool) -> dict[str, Any]:
        return run("single.sh", **(KERAS_2 if keras_2 else {}))

    def compare(ours: dict[str, Any], keras_2: bool = False) -> None:
        expected = one_device(keras_2)
        assert ours["data"] == expected["data"]
        assert ours["used"] == expected["used"]
        (table,) = ours["predictions"].values()
        (wanted,) = expected["predictions"].values()
        assert table["columns"] == wanted["columns"]
        assert table["aliases"] == wanted["aliases"]
        assert len(table["rows"]) == 40
        for row, wanted_row in zip(table["rows"], wanted["rows"], strict=True):
            assert row[:CONFIDENCE] == wanted_row[:CONFIDENCE]
            assert row[CONFIDENCE] == pytest.approx(wanted_row[CONFIDENCE], abs=1e-6)
        assert table["metadata"]["samples"] == 40
        assert table["metadata"]["replicas"] == 2

    return compare


def test_mirrored(run: Callable[..., Any], compare: Callable[..., None]) -> None:
    compare(run("mirrored.sh", "--replicas", "2"))


def test_multiworker(run: Callable[..., Any], compare: Callable[..., None]) -> None:
    compare(run("multiworker.sh", "--"), keras_2=True)


def test_horovod(run: Callable[..., Any], compare: Callable[..., None], tmp_path: Path) -> None:
    timeline = tmp_path / "timeline.json"
    compare(run("horovod.sh", "-np", "2", "--timeline", timeline))
    assert "ALLTOALL" in timeline.read_text()


@needs_hosts
def test_horovod_on_two_hosts(
    run: Callable[..., Any],
    compare: Callable[..., None],
    hosts: Hosts,
    tmp_path: Path,
) -> None:
    where = ["-H", f"{HERE}:1,{THERE}:1"]
    # Horovod keeps the interfaces of hosts in a file there, by the names of the hosts.
    home = {"HOME": str(tmp_path)}
    compare(run("horovod.sh", "-np", "2", *where, inside=hosts.inside, PATH=hosts.path, **home))


@needs_hosts
@pytest.mark.parametrize("engine", ["horovod", "multiworker"])
def test_slurm_on_two_nodes(
    engine: str, run: Callable[..., Any], compare: Callable[..., None], hosts: Hosts
) -> None:
    job = hosts.slurm | {"SLURM_SUBMIT_DIR": str(LAUNCH.parent), "ENGINE": engine}
    ours = run("slurm.sbatch", inside=hosts.inside, PATH=hosts.path, **job)
    compare(ours, keras_2=engine == "multiworker")


# A rank that does not end by itself, and cannot be interrupted.
WAITING = """
import os, pathlib, signal, sys, time
signal.signal(signal.SIGHUP, signal.SIG_IGN)
folder = pathlib.Path(sys.argv[1])
(folder / f"{os.getpid()}.rank").touch()
while True:
    time.sleep(0.1)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_the_launcher_with_all_ranks(number: int, tmp_path: Path) -> None:
    script, folder = tmp_path / "waiting.py", tmp_path / "ranks"
    script.write_text(WAITING)
    folder.mkdir()
    process = subprocess.Popen(
        ["bash", LAUNCH / "horovod.sh", "-np", "2", "--script", script, "--", folder],
        env=os.environ | {"WANDB_API_KEY": "not-a-real-key", "TMPDIR": str(tmp_path)}
        | {"PATH": f"{BIN}:{os.environ['PATH']}"},
        start_new_session=True,
    )  # fmt: skip
    while len(list(folder.glob("*.rank"))) < 2:
        assert process.poll() is None
        time.sleep(0.1)
    ranks = [psutil.Process(int(path.stem)) for path in folder.glob("*.rank")]
    assert list(tmp_path.glob("tmp.*")), "the file with the key is there while ranks run"
    process.send_signal(number)
    assert process.wait(timeout=120) != 0
    assert not any(rank.is_running() for rank in ranks)
    assert not list(tmp_path.glob("tmp.*"))


@pytest.mark.parametrize("place", ["command line", "environment"])
def test_a_key_that_is_shown_is_found(place: str) -> None:
    key = "not-a-real-key" * 3
    arguments, env = ([key], {}) if place == "command line" else ([], {"KEY": key})
    process = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()", *arguments],
        env=os.environ | {"HOROVOD_RANK": "1"} | env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    process.stdout.readline()  # it runs
    try:
        assert place in " ".join(exposures(key))
    finally:
        process.communicate(b"\n")
    assert not exposures(key)
