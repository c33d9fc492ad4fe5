"""What the documents show works: the Python runs, and commands, links and files exist."""

from __future__ import annotations

import ast
import functools
import importlib.util
import inspect
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits

import disteval
import examples

TOP = Path(__file__).resolve().parents[2]
CONTRIBUTING = TOP / "CONTRIBUTING.md"
READMES = [TOP / "README.md", CONTRIBUTING, *TOP.glob("launch/README.md"),
           *TOP.glob("disteval/**/README.md"), *TOP.glob("tests/**/README.md")]  # fmt: skip
LINK = re.compile(r"\[[^]]*\]\(([^)#]+)[^)]*\)")
CODE = re.compile(r"(?<!`)`([^`\n]+)`")
FILE = re.compile(r"[\w./-]+(/|\.(py|js|sh|md|yml|toml|ini))")
# Programs of command lines that are not files of this project.
PROGRAMS = {"apt", "apt-get", "cd", "horovodrun", "kubectl", "mypy", "pip", "pytest", "ruff",
            "sbatch", "docker", "source", "wandb", "export", "coverage"}  # fmt: skip


def name(path: Path) -> str:
    return str(path.relative_to(TOP))


def test_every_file_in_contributing_exists() -> None:
    names = [code for code in CODE.findall(CONTRIBUTING.read_text()) if FILE.fullmatch(code)]
    assert len(set(names)) > 30
    roots = TOP, TOP / "disteval", TOP / "tests/multiproc/faults", TOP / "tests/multiproc/scripts"
    assert [name for name in names if not any((root / name).exists() for root in roots)] == []


def test_contributing_names_every_room() -> None:
    rooms = {f"{init.parent.name}/" for init in TOP.glob("disteval/*/__init__.py")}
    assert rooms <= set(CODE.findall(CONTRIBUTING.read_text()))


def test_the_readme_is_short() -> None:
    assert len((TOP / "README.md").read_text().splitlines()) <= 200


def test_the_table_of_options_is_complete() -> None:
    table = (TOP / "disteval" / "README.md").read_text().partition("| --- ")[2]
    listed: dict[str, str] = {}
    for line in table.splitlines()[1:]:
        names, defaults, _ = (CODE.findall(cell) for cell in line.split("|")[1:4])
        listed |= dict(zip(names, defaults * len(names), strict=False))
    options = {
        name: parameter.default
        for kind in (disteval.DistEvalCallback, disteval.TaskEval)
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name != "validation_data"
    }
    assert set(listed) == set(options)
    options["batch_size"] = 32  # of `None`, where the data is not batched
    listed |= {"mode": '"auto"', "num_rows": "None"}  # the second default of their line
    assert {name: ast.literal_eval(value) for name, value in listed.items()} == options


# Two logical devices, in the place of two GPUs.
DEVICES = (
    "import tensorflow as tf; "
    "tf.config.set_logical_device_configuration(tf.config.list_physical_devices('CPU')[0], "
    "[tf.config.LogicalDeviceConfiguration()] * 2)"
)
BOTH_WERE_USED = """
assert disteval.get_backend(model=model).num_replicas == strategy.num_replicas_in_sync == 2
"""


def test_python_runs_from_top_to_bottom_and_uses_all_devices(tmp_path: Path) -> None:
    has_horovod = importlib.util.find_spec("horovod") is not None
    # Padded with empty lines, so that a traceback shows the line numbers of the README.
    script = DEVICES
    for example in examples.read(TOP / "README.md"):
        if example.language == "python" and (has_horovod or "import horovod" not in example.text):
            script += "\n" * (example.line - 1 - script.count("\n")) + example.text
    script += BOTH_WERE_USED
    for i, image in enumerate(load_digits().images[:20].astype("uint8")):
        png = tf.io.encode_png(image[..., np.newaxis])
        tf.io.write_file(str(tmp_path / "val" / str(i % 10) / f"{i:04}.png"), png)
    offline = {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path), "WANDB_DATA_DIR": str(tmp_path)}
    path = f"{TOP}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    done = subprocess.run(
        [sys.executable, "-c", f"exec(compile({script!r}, 'README.md', 'exec'))"],
        env=os.environ | offline | {"PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout
    assert list(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))


@pytest.mark.parametrize("path", READMES, ids=name)
def test_every_block_is_in_a_known_language(path: Path) -> None:
    languages = {example.language for example in examples.read(path)}
    assert languages <= {"", "bash", "python"}  # a drawing, or something that is checked here


@pytest.mark.parametrize("path", READMES, ids=name)
def test_links_lead_to_files(path: Path) -> None:
    links = [link for link in LINK.findall(path.read_text()) if "://" not in link]
    assert [link for link in links if not (path.parent / link).exists()] == []


def commands(path: Path) -> list[list[str]]:
    """Returns the command lines of a README: those of its blocks, and of its inline code."""
    lines = [
        line
        for example in examples.read(path)
        if example.language == "bash"
        for line in example.text.replace("\\\n", " ").splitlines()
    ]
    lines += [
        code for code in CODE.findall(path.read_text()) if code.startswith(("bash ", "python -m "))
    ]
    words = [shlex.split(line, comments=True) for line in lines]
    return [part for line in words for part in split(line) if part]


def split(words: list[str]) -> list[list[str]]:
    """Splits at `&&`, and removes the variables that a command sets."""
    parts: list[list[str]] = [[]]
    for word in words:
        if word == "&&":
            parts.append([])
        elif parts[-1] or not re.match(r"[A-Z_]+=", word):
            parts[-1].append(word)
    return parts


@pytest.mark.parametrize("path", READMES, ids=name)
def test_commands_exist(path: Path) -> None:
    for words in commands(path):
        program, *arguments = words
        if program in ("bash", "python") and arguments[0] != "-m":
            assert (TOP / arguments[0]).exists(), words
        elif words[:3] == ["python", "-m", "disteval"]:
            assert arguments[2] in disteval_commands(), words
        elif program != "python":
            assert program in PROGRAMS, words


@functools.cache
def disteval_commands() -> set[str]:
    """Returns the commands that the help of `python -m disteval` lists."""
    done = subprocess.run(
        [sys.executable, "-m", "disteval", "--help"], cwd=TOP, capture_output=True, text=True
    )
    return set(re.findall(r"^    (\w+)", done.stdout, re.MULTILINE))
