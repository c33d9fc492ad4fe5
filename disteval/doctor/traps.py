"""Traps: problems of this machine, found in the facts about it."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import re
import shutil
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

# The newest W&B that the tests ran with. Tables use some of its private names.
TESTED_WANDB = "0.31"
CUDA = "bash launch/setup.sh, or: pip install 'tensorflow[and-cuda]' (3 GB)"


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


def version_of(distribution: str) -> str | None:
    """Returns the version of an installed distribution, or `None`."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def of_imports(error: str) -> Iterator[Trap]:
    """Yields the traps of what has to be imported; `error` is what failed, or empty."""
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


def of_wandb(facts: dict[str, Any]) -> Iterator[Trap]:
    """Yields the traps of W&B and its server."""
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
    if _release(facts["wandb"]) > _release(TESTED_WANDB):
        yield Trap(
            "wandb-version",
            f"W&B {facts['wandb']} is newer than {TESTED_WANDB}, the newest that was tested.",
            f"If tables are not logged, or cannot be read: pip install 'wandb=={TESTED_WANDB}.*'",
            fatal=False,
        )
    if not _can_import("PIL.Image"):
        yield Trap(
            "pillow",
            "wandb.Image needs pillow, which cannot be imported.",
            "pip install --force-reinstall pillow",
        )


def of_horovod(facts: dict[str, Any]) -> Iterator[Trap]:
    """Yields the traps of Horovod, and of what it needs to be built."""
    if "horovod" not in facts:
        return  # TensorFlow or disteval could not be imported
    horovod = facts["horovod"]
    missing = [tool for tool in ("c++", "cmake", "make") if shutil.which(tool) is None]
    if "has not been built" in horovod.get("error", ""):
        yield Trap(
            "horovod-without-tensorflow",
            "Horovod was built without TensorFlow, as `pip install horovod` does where its build "
            "cannot see TensorFlow.",
            "pip uninstall --yes horovod; then bash launch/setup.sh --horovod",
        )
    elif "error" in horovod and horovod["error"] != "not installed":
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


def of_gpus(facts: dict[str, Any], expected: int) -> Iterator[Trap]:
    """Yields the traps of a machine with NVIDIA GPUs.

    Args:
        facts: The facts about the machine.
        expected: How many GPUs TensorFlow should see.
    """
    if "gpus" not in facts:
        return  # TensorFlow could not be imported
    seen, features = facts["gpus"], facts["horovod"].get("features")
    if seen < expected:
        kind = "" if facts["is_cuda_build"] else " TensorFlow was built without CUDA."
        yield Trap(
            "cuda-build" if kind else "gpus",
            f"The driver has {expected} GPUs, and TensorFlow sees {seen}.{kind} It would train on "
            f"{'the CPU' if seen == 0 else 'some of them'}.",
            f"Install TensorFlow with CUDA: {CUDA}",
        )
    if (facts["gpu_selftest"] or "").startswith("failed"):
        yield Trap(
            "gpu-selftest",
            f"The evaluation on each GPU {facts['gpu_selftest']}",
            f"See: {sys.executable} -m disteval.doctor.selftest gpus",
        )
    if expected > 1 and features is not None and "NCCL" not in features:
        yield Trap(
            "nccl",
            f"Horovod was built without NCCL, for a machine with {expected} GPUs: it trains, but "
            "gradients travel through the memory of the host.",
            "HOROVOD_GPU_OPERATIONS=NCCL bash launch/setup.sh --horovod",
            fatal=False,
        )
    if seen > 1 and facts["backend"]["name"] == "single":
        yield Trap(
            "default-strategy",
            f"A script without horovodrun and without a strategy uses one of {seen} GPUs.",
            "Build and compile the model in `with tf.distribute.MirroredStrategy().scope():`",
            fatal=False,
        )
    grows = os.environ.get("TF_FORCE_GPU_ALLOW_GROWTH", "").lower() == "true"
    shared = facts["gpu_processes"] or int(os.environ.get("HOROVOD_LOCAL_SIZE", "1")) > expected
    if expected and shared and not grows:
        yield Trap(
            "gpu-memory",
            "Several processes use one GPU, and TensorFlow takes all of the memory of each GPU "
            "that it sees.",
            "TF_FORCE_GPU_ALLOW_GROWTH=true, and one GPU for each rank: "
            "tf.config.set_visible_devices(gpus[hvd.local_rank()], 'GPU')",
            fatal=False,
        )


def _release(version: str | None) -> tuple[int, ...]:
    """Returns the first two numbers of a version; none if nothing is installed."""
    return tuple(int(number) for number in re.findall(r"\d+", version or "")[:2])


def _can_import(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True
