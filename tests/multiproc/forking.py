"""Runs scripts in processes that are forked from one that has imported TensorFlow and W&B already.

These imports take seconds of a core, and the suite runs hundreds of scripts. A forked process is
otherwise like one of its own, since neither starts anything before it is used.
"""

from __future__ import annotations

import atexit
import functools
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import types
from collections.abc import Mapping
from pathlib import Path

from multiproc.jobs import fork_ranks, fork_workers, print_to

# The script of a forked process runs in its `__main__`, and ends as any other does.
PROGRAM = "from multiproc.forking import serve; exec(serve())"


class Forker:
    """A process that has imported TensorFlow and W&B, and the pipes to it.

    Args:
        env: The variables that its imports see.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        atexit.register(self.close)

    def run(
        self,
        argv: list[str],
        launch: tuple[str, int],
        env: Mapping[str, str],
        cwd: Path | None,
        timeout: float,
    ) -> tuple[int | None, str]:
        """Runs a script in a session of its own.

        Args:
            argv: The path of the script, and its arguments.
            launch: How many processes run it; see `multiproc.running.run`.
            env: All variables that it sees.
            cwd: Its working directory.
            timeout: Seconds until all of it is killed.

        Returns:
            Its exit status (negative: a signal; `None`: the timeout killed it), and its output.
        """
        with tempfile.NamedTemporaryFile() as output:
            job = {"argv": argv, "launch": launch, "env": dict(env), "output": output.name}
            try:
                pid = self._ask(json.dumps(job | {"cwd": str(cwd or Path.cwd())}))
                timer = threading.Timer(timeout, functools.partial(os.killpg, pid, signal.SIGKILL))
                timer.start()
                status = os.waitstatus_to_exitcode(self._ask())
            except BaseException:
                self._process.kill()  # it still waits for the script
                raise
            in_time = timer.is_alive()
            timer.cancel()
            text = Path(output.name).read_text(errors="replace")
        return (status if in_time else None), text

    def is_alive(self) -> bool:
        """Returns whether the process is there."""
        return self._process.poll() is None

    def close(self) -> None:
        """Ends the process, which then writes what it has measured of coverage."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _ask(self, line: str = "") -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if line:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the process that forks has ended"
        return int(answer)


def serve() -> types.CodeType | str:
    """Forks until stdin ends; returns, in a forked process, the script that it has to run."""
    import tensorflow as tf
    from wandb.integration import keras  # noqa: F401

    tf.keras.layers  # noqa: B018 (imports Keras)
    # A garbage collection would write to all objects, so that each process would copy their memory.
    gc.freeze()
    # A job in the background of a shell ignores Ctrl-C, and so would all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if not pid:
            return _become(**job)
        for answer in (pid, os.waitpid(pid, 0)[1]):
            sys.stdout.write(f"{answer}\n")
            sys.stdout.flush()
    return ""


def _become(
    argv: list[str], launch: tuple[str, int], env: dict[str, str], cwd: str, output: str
) -> types.CodeType:
    """Gives a forked process all that a script finds when it starts."""
    import numpy as np

    np.random.seed()  # Python's own generator does so by itself
    os.setsid()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    tempfile.tempdir = None  # it depends on TMPDIR
    os.register_at_fork(after_in_child=_make_media_folder)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    print_to(os.open(output, os.O_WRONLY | os.O_APPEND))
    fork = {"horovod": fork_ranks, "multiworker": fork_workers}.get(launch[0])
    if fork is not None:
        fork(launch[1])
    else:
        _make_media_folder()
    script = argv[0]
    sys.argv[:] = argv
    path = env.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [str(Path(script).parent), *(p for p in path if p not in sys.path), *sys.path[1:]]
    sys.modules["__main__"].__file__ = script
    return compile(Path(script).read_bytes(), script, "exec", dont_inherit=True)


def _make_media_folder() -> None:
    """Makes the folder for media that W&B makes when it is imported, for this process alone."""
    from wandb.sdk.data_types._private import MEDIA_TMP

    # The folder of the process that this one was forked from stays.
    MEDIA_TMP._finalizer.detach()
    MEDIA_TMP.__init__("wandb-media")
