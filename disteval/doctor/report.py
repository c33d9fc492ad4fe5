"""`python -m disteval doctor`: collects facts about this machine, and traps.

Nothing that may be broken is imported at the top. TensorFlow and Horovod are imported by other
processes (`disteval.doctor.selftest`), so that the doctor survives their crash and reports it.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

# Timeouts for an answer of the W&B server, and for a process of `selftest`.
SERVER_SECONDS = 5
PROCESS_SECONDS = 180


class Trap(NamedTuple):
    """A problem of this machine.

    Attributes:
        name: Identifies the kind of problem.
        text: What was found.
        advice: What to do.
        fatal: Whether the exit status becomes 1.
    """

    name: str
    text: str
    advice: str
    fatal: bool = True


def run(args: argparse.Namespace) -> int:
    """Examines this machine, writes facts and traps to stdout, and returns the exit status."""
    facts, traps = examine()
    if args.json:
        text = json.dumps({"facts": facts, "traps": [t._asdict() for t in traps]}, indent=2)
    else:
        text = "\n".join(describe(facts, traps))
    sys.stdout.write(f"{text}\n")
    return int(any(trap.fatal for trap in traps))


def examine() -> tuple[dict[str, Any], list[Trap]]:
    """Returns facts about this machine by name, and its traps."""
    facts: dict[str, Any] = {"python": platform.python_version()}
    facts |= {name: version_of(name) for name in ("tensorflow", "keras", "wandb", "numpy")}
    imported, error = _facts_of_imports()
    facts |= imported
    facts["wandb_mode"], facts["wandb_server"] = _wandb_state()
    facts["selftest"] = _run_selftest(imported)
    traps = [*_import_traps(error), *_wandb_traps(facts), *_horovod_traps(facts)]
    return facts, traps


def describe(facts: dict[str, Any], traps: list[Trap]) -> Iterator[str]:
    """Yields facts and traps as lines of text."""
    horovod, backend = facts.get("horovod", {}), facts.get("backend", {})
    features = ", ".join(horovod.get("features", []))
    server = [facts["wandb_server"]] if facts["wandb_server"] else []
    lines = {
        "Python": facts["python"],
        "TensorFlow": facts["tensorflow"],
        "Keras": f"{facts['keras'] or '-'}, tf.keras is {facts.get('tf.keras', 'unknown')}",
        "NumPy": facts["numpy"],
        "W&B": ", ".join([facts["wandb"] or "-", facts["wandb_mode"], *server]),
        "Horovod": f"{horovod['version']} with {features}" if features else horovod.get("error"),
        "Devices": ", ".join(facts.get("devices", [])),
        "Backend": f"{backend['name']} ({backend['reason']})" if backend else None,
        "Self-test": facts["selftest"],
    }
    for name, line in lines.items():
        yield f"{name:<11} {line or '-'}"
    for trap in traps:
        yield f"\n{'error' if trap.fatal else 'note'}: {trap.text}\n  {trap.advice}"
    if not any(trap.fatal for trap in traps):
        yield "\nNothing is in the way."


def version_of(distribution: str) -> str | None:
    """Returns the version of an installed distribution, or `None`."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _facts_of_imports() -> tuple[dict[str, Any], str]:
    """Returns the facts of `selftest` and no error, or no facts and its error."""
    done = _run(sys.executable, "-m", "disteval.doctor.selftest", "facts")
    lines = done.stdout.splitlines()
    if done.returncode == 0 and lines:
        return dict(json.loads(lines[-1])), ""
    return {}, _error_line(done)


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    # Without the W&B key, since horovodrun shows the whole environment on command lines.
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("WANDB_API_KEY", None)
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        output, errors = process.communicate(timeout=PROCESS_SECONDS)
    except subprocess.TimeoutExpired:
        process.terminate()  # horovodrun ends its ranks
        output, errors = process.communicate()
        errors += f"\nTimeoutError: not ended after {PROCESS_SECONDS} s"
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def _error_line(done: subprocess.CompletedProcess[str]) -> str:
    """Returns the line that says what failed: the last line with an error, or the last line."""
    output = (done.stdout + done.stderr).splitlines()
    # Horovod's own last error only says that a rank failed.
    lines = [line for line in output if line.strip() and "Horovod detected that" not in line]
    errors = [line for line in lines if "Error: " in line]
    return (errors or lines or [f"exit status {done.returncode}"])[-1].strip()


def _wandb_state() -> tuple[str, str | None]:
    """Returns W&B's mode and, unless the mode needs no server, whether the server answers."""
    try:
        import wandb

        settings = wandb.setup().settings
    except Exception as error:
        return f"{type(error).__name__}: {error}", None
    mode = str(settings.mode)
    if mode not in ("online", "shared"):
        return mode, None
    url = str(settings.base_url)
    try:
        urllib.request.urlopen(url, timeout=SERVER_SECONDS).close()
    except urllib.error.HTTPError:
        pass  # an error of the server is an answer, too
    except OSError as error:
        return mode, f"{url} does not answer: {getattr(error, 'reason', error)}"
    return mode, f"{url} answers" + ("" if settings.api_key else ", not logged in")


def _run_selftest(imported: dict[str, Any]) -> str:
    """Evaluates on two ranks if Horovod can be imported, and returns the outcome."""
    if "version" not in imported.get("horovod", {}):
        return "not run, since there is no Horovod"
    beside_python = Path(sys.executable).with_name("horovodrun")
    horovodrun = str(beside_python) if beside_python.exists() else shutil.which("horovodrun")
    if horovodrun is None:
        return "failed: there is no horovodrun on PATH"
    started = time.monotonic()
    controller = ["--gloo"] if "Gloo" in imported["horovod"]["features"] else []
    command = [sys.executable, "-m", "disteval.doctor.selftest", "predict"]
    done = _run(horovodrun, *controller, "-np", "2", *command)
    if done.returncode:
        return f"failed: {_error_line(done)}"
    return f"two ranks evaluated, in {time.monotonic() - started:.0f} s"


def _import_traps(error: str) -> Iterator[Trap]:
    if error:
        yield Trap(
            "import",
            f"disteval and what it needs cannot be imported: {error}",
            "Install it again into an environment of its own: bash launch/setup.sh",
        )
    wanted = _unmet_numpy_requirement()
    if wanted:
        yield Trap(
            "numpy",
            f"TensorFlow {version_of('tensorflow')} needs {wanted}, not {version_of('numpy')}.",
            f"pip install '{wanted}'",
        )


def _unmet_numpy_requirement() -> str | None:
    """Returns TensorFlow's requirement of NumPy if the installed NumPy does not meet it."""
    try:
        from packaging.requirements import Requirement

        requirements = importlib.metadata.requires("tensorflow") or []
    except ImportError:  # no `packaging`, or no TensorFlow: PackageNotFoundError is a subclass
        return None
    for requirement in map(Requirement, requirements):
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if requirement.name == "numpy" and applies:
            met = requirement.specifier.contains(version_of("numpy") or "0", prereleases=True)
            return None if met else f"numpy{requirement.specifier}"
    return None


def _wandb_traps(facts: dict[str, Any]) -> Iterator[Trap]:
    server = facts["wandb_server"] or ""
    if "does not answer" in server:
        yield Trap(
            "wandb-server",
            f"The W&B server {server}",
            "Check WANDB_BASE_URL and the network, or train with WANDB_MODE=offline and run "
            "`wandb sync` later.",
        )
    if "not logged in" in server:
        yield Trap(
            "wandb-login",
            "W&B is online, but this user is not logged in.",
            "`wandb login` on the machine of rank 0, or WANDB_MODE=offline.",
        )
    if not _can_import("PIL.Image"):
        yield Trap(
            "pillow",
            "wandb.Image needs pillow, which cannot be imported.",
            "pip install --force-reinstall pillow",
        )


def _horovod_traps(facts: dict[str, Any]) -> Iterator[Trap]:
    if "horovod" not in facts:
        return  # TensorFlow or disteval could not be imported
    horovod = facts["horovod"]
    missing = [tool for tool in ("c++", "cmake", "make") if shutil.which(tool) is None]
    if "error" in horovod and horovod["error"] != "not installed":
        yield Trap(
            "horovod",
            f"Horovod cannot be used: {horovod['error']}",
            "Most likely it was built for another TensorFlow: bash launch/setup.sh --horovod",
        )
    if missing:
        yield Trap(
            "build-tools",
            f"Horovod cannot be built{' again' if 'version' in horovod else ''} without "
            f"{', '.join(missing)}.",
            "apt install g++ make cmake; then bash launch/setup.sh --horovod. Not needed for one "
            "device, MirroredStrategy and MultiWorkerMirroredStrategy.",
            fatal=False,
        )
    if "version" in horovod and facts["tf.keras"].startswith("keras "):
        yield Trap(
            "keras-3",
            "Under Keras 3, hvd.DistributedOptimizer is accepted but does not average gradients.",
            "Use hvd.DistributedGradientTape in train_step, as launch/train.py does, or Keras 2: "
            "pip install tf-keras, TF_USE_LEGACY_KERAS=1.",
            fatal=False,
        )
    if "version" in horovod and not _can_import("distutils"):
        yield Trap(
            "distutils",
            "horovodrun needs distutils, which Python 3.12 and later take from setuptools.",
            "pip install 'setuptools>=70.1,<81'",
        )
    elif facts["selftest"].startswith("failed"):
        yield Trap(
            "selftest",
            f"The evaluation on two ranks {facts['selftest']}",
            f"See: horovodrun --gloo -np 2 {sys.executable} -m disteval.doctor.selftest predict",
        )


def _can_import(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True
