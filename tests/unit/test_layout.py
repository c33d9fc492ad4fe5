"""The house: who imports whom, what a room's `__init__.py` holds, and where the tests are."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import disteval

TOP = Path(__file__).resolve().parents[2]
PACKAGE = TOP / "disteval"

# From the lowest to the highest. A room imports only itself and rooms below it.
ROOMS = (
    "errors", "arguments", "optional", "intervals", "backends", "data", "inference", "tables",
    "schedule", "validation", "job", "batch_hooks", "callback", "tasks", "report", "doctor",
    "checkpoints", "__main__",
)  # fmt: skip
# The doctor's self-test uses the package as a script does, and `__init__.py` is the public face.
FACES = ("__init__.py", "doctor/selftest.py")
# The doctor examines what may be broken.
HOROVOD = ("backends/horovod.py", "doctor/selftest.py")
BELOW_WANDB = (
    "errors", "arguments", "optional", "intervals", "backends", "data", "inference", "schedule",
    "validation", "batch_hooks",
)  # fmt: skip
MAX_LINES, MAX_DOCSTRING = 300, 15


def modules(package: Path) -> Iterator[tuple[str, ast.Module]]:
    """Yields the path of each module in the package, and its syntax tree."""
    for path in sorted(package.rglob("*.py")):
        yield path.relative_to(package).as_posix(), ast.parse(path.read_text())


def imports(tree: ast.Module) -> Iterator[str]:
    """Yields the full name of each module that is imported, also within functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports hide where a name comes from"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(path: str) -> str:
    return path.partition("/")[0].removesuffix(".py")


def upward_imports(package: Path) -> list[str]:
    """Returns the imports of a room above the importing one."""
    found = []
    for path, tree in modules(package):
        for name in imports(tree):
            target = re.match(r"disteval\.(\w+)", name)
            if path in FACES or target is None:
                continue
            if ROOMS.index(target[1]) > ROOMS.index(room_of(path)):
                found.append(f"{path} imports {name}")
    return found


def horovod_imports(package: Path) -> list[str]:
    """Returns the imports of Horovod outside its backend."""
    return [
        f"{path} imports {name}"
        for path, tree in modules(package)
        for name in imports(tree)
        if name.split(".")[0] == "horovod" and path not in HOROVOD
    ]


def wandb_imports(package: Path) -> list[str]:
    """Returns the imports of W&B below the room that logs."""
    return [
        f"{path} imports {name}"
        for path, tree in modules(package)
        for name in imports(tree)
        if name.split(".")[0] == "wandb" and room_of(path) in BELOW_WANDB
    ]


def rooms_with_code(package: Path) -> list[str]:
    """Returns each room whose `__init__.py` is more than a short docstring."""
    found = []
    for path, tree in modules(package):
        if path.endswith("/__init__.py"):
            docstring = ast.get_docstring(tree)
            if not docstring or len(tree.body) > 1 or docstring.count("\n") >= MAX_DOCSTRING:
                found.append(path)
    return found


def long_modules(package: Path) -> list[str]:
    """Returns each module with too many lines."""
    paths = [package / path for path, _ in modules(package)]
    return [str(path) for path in paths if path.read_text().count("\n") > MAX_LINES]


def test_rooms_import_only_rooms_below() -> None:
    assert upward_imports(PACKAGE) == []


def test_only_its_backend_imports_horovod() -> None:
    assert horovod_imports(PACKAGE) == []


def test_no_room_below_the_tables_imports_wandb() -> None:
    assert wandb_imports(PACKAGE) == []


def test_each_room_says_what_it_is_for_and_no_more() -> None:
    assert rooms_with_code(PACKAGE) == []


def test_no_module_is_long() -> None:
    assert long_modules(PACKAGE) == []


def test_each_module_has_its_test_file() -> None:
    missing = []
    for path, _ in modules(PACKAGE):
        room, _, name = path.rpartition("/")
        # Errors hold no code, the public names are tested here, and Horovod has ranks of its own.
        if name != "__init__.py" and path not in ("errors.py", "backends/horovod.py"):
            test = f"test_{name.replace('__main__', 'main')}"
            if not (TOP / "tests" / "unit" / room / test).exists():
                missing.append(path)
    assert missing == []


@pytest.mark.parametrize(
    ("path", "source", "check"),
    [
        ("data/sources.py", "from disteval.inference.loop import Loop", upward_imports),
        ("backends/base.py", "def f():\n    import disteval.callback", upward_imports),
        ("tables/cells.py", "from disteval.schedule import Monitor", upward_imports),
        ("tasks/rows.py", "import horovod.tensorflow as hvd", horovod_imports),
        ("inference/loop.py", "from horovod import run", horovod_imports),
        ("inference/loop.py", "import wandb", wandb_imports),
        ("schedule.py", "def f():\n    from wandb.sdk import Run", wandb_imports),
        ("data/__init__.py", '"""A room."""\nfrom disteval.data import sources', rooms_with_code),
        ("data/__init__.py", '"""A\n' + "room\n" * MAX_DOCSTRING + '"""', rooms_with_code),
        ("callback.py", "\n" * (MAX_LINES + 1), long_modules),
    ],
)
def test_what_is_planted_is_found(
    path: str, source: str, check: Callable[[Path], list[str]], tmp_path: Path
) -> None:
    planted = tmp_path / path
    planted.parent.mkdir(exist_ok=True)
    planted.write_text('"""Nothing is wrong here."""\n')
    assert check(tmp_path) == []
    planted.write_text(source)
    assert len(check(tmp_path)) == 1


def test_the_import_alone_loads_neither_tensorflow_nor_wandb() -> None:
    program = (
        "import sys, disteval; disteval.__version__; dir(disteval); "
        "print({'tensorflow', 'wandb', 'numpy'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


def test_public_names() -> None:
    assert disteval.__version__ == importlib.metadata.version("disteval")
    assert set(disteval.__all__) <= set(dir(disteval))
    for name in disteval.__all__:
        assert getattr(disteval, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        disteval.nothing  # noqa: B018
