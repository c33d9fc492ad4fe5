"""`python -m disteval doctor`: collects facts about this machine, and traps.

Nothing that may be broken is imported at the top. TensorFlow and Horovod are imported by other
processes (`disteval.doctor.selftest`), so that the doctor survives their crash and reports it.
"""

from __future__ import annotations

import argparse
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
from typing import Any

from disteval.doctor import gpus, traps
from disteval.doctor.traps import Trap, version_of

# Timeouts for an answer of the W&B server, and for a process of `selftest`.
SERVER_SECONDS = 5
PROCESS_SECONDS = 180


def run(args: argparse.Namespace) -> int:
    """Examines this machine, writes facts and traps to stdout, and returns the exit status."""
    facts, found = examine()
    if args.json:
        text = json.dumps({"facts": facts, "traps": [trap._asdict() for trap in found]}, indent=2)
    else:
        text = "\n".join(describe(facts, found))
    sys.stdout.write(f"{text}\n")
    return int(any(trap.fatal for trap in found))


def examine() -> tuple[dict[str, Any], list[Trap]]:
    """Returns facts about this machine by name, and its traps."""
    facts: dict[str, Any] = {"python": platform.python_version()}
    facts |= {name: version_of(name) for name in ("tensorflow", "keras", "wandb", "numpy")}
    imported, error = _facts_of_imports()
    facts |= imported
    facts["wandb_mode"], facts["wandb_server"] = _wandb_state()
    facts["driver_gpus"], facts["gpu_processes"] = gpus.driver_gpus(), gpus.processes_on_gpus()
    facts["gpu_selftest"] = _run_gpu_selftest(imported.get("gpus", 0))
    facts["selftest"] = _run_selftest(imported)
    found = [*traps.of_imports(error), *traps.of_wandb(facts)]
    return facts, [*found, *traps.of_horovod(facts), *traps.of_gpus(facts, gpus.expected_gpus())]


def describe(facts: dict[str, Any], found: list[Trap]) -> Iterator[str]:
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
        "GPUs": f"TensorFlow sees {facts['gpus']} of {facts['driver_gpus']}"
        if "gpus" in facts and facts["driver_gpus"]
        else None,
        "GPU test": facts["gpu_selftest"],
        "Backend": f"{backend['name']} ({backend['reason']})" if backend else None,
        "Self-test": facts["selftest"],
    }
    for name, line in lines.items():
        yield f"{name:<11} {line or '-'}"
    for trap in found:
        yield f"\n{'error' if trap.fatal else 'note'}: {trap.text}\n  {trap.advice}"
    if not any(trap.fatal for trap in found):
        yield "\nNothing is in the way."


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
    return mode, f"{url} answers" + ("" if has_login() else ", not logged in")


def has_login() -> bool:
    """Returns whether W&B finds a key: a variable, a setting, or what `wandb login` has written."""
    import wandb

    try:
        return wandb.login(prompt=False, verify=False)
    except TypeError:  # older releases of W&B have no `prompt`
        return bool(wandb.api.api_key)


def _run_gpu_selftest(count: int) -> str | None:
    """Evaluates on each GPU if TensorFlow sees any, and returns the outcome."""
    if not count:
        return None
    done = _run(sys.executable, "-m", "disteval.doctor.selftest", "gpus")
    lines = done.stdout.splitlines()
    return lines[-1] if done.returncode == 0 and lines else f"failed: {_error_line(done)}"


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
