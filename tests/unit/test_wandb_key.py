"""The file with the W&B key: read on rank 0 if it is safe, and missed with a clear error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

LAUNCH = Path(__file__).resolve().parents[2] / "launch"
READ = "import os, wandb_key; wandb_key.read_wandb_key(); print(repr(os.environ['WANDB_API_KEY']))"
KEY = "0123456789abcdef0123456789abcdef01234567"


def read(path: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Reads the key in a process that has no other login."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    own = {"PYTHONPATH": str(LAUNCH), "DISTEVAL_WANDB_KEY_FILE": str(path)}
    return subprocess.run(
        [sys.executable, "-c", READ],
        env=kept | own | {"NETRC": str(path.parent / "netrc"), "HOME": str(path.parent)} | env,
        cwd=path.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o440])
def test_a_key_is_read_without_its_newline(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    path.chmod(mode)
    done = read(path)
    assert (done.returncode, done.stdout) == (0, f"{KEY!r}\n"), done.stderr


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o602])
def test_a_file_of_which_others_know_is_refused(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(KEY)
    path.chmod(mode)
    done = read(path)
    assert done.returncode == 1
    assert f"Received: {path}, of user {os.getuid()}, mode {mode:o}. Expected: " in done.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(KEY)
    path.chmod(0o600)
    os.chown(path, 12345, 12345)
    done = read(path)
    assert done.returncode == 1
    assert "of user 12345, mode 600" in done.stderr


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "key", 0o600)
    done = read(tmp_path / "key")
    assert done.returncode == 1
    assert "is not safe" in done.stderr


def test_a_missing_file_is_an_error_unless_there_is_a_login(tmp_path: Path) -> None:
    path = tmp_path / "key"
    done = read(path)
    assert done.returncode == 1
    assert f"DISTEVAL_WANDB_KEY_FILE={path}, which does not exist here" in done.stderr
    assert "`wandb login` on the machine of rank 0" in done.stderr
    assert read(path, WANDB_API_KEY=KEY).returncode == 0
    # Neither needs a key, so that the program goes on; it then finds none in the environment.
    for mode in ("offline", "disabled"):
        assert "KeyError: 'WANDB_API_KEY'" in read(path, WANDB_MODE=mode).stderr
    (tmp_path / "netrc").write_text(f"machine api.wandb.ai login user password {KEY}\n")
    (tmp_path / "netrc").chmod(0o600)
    assert "KeyError: 'WANDB_API_KEY'" in read(path).stderr
