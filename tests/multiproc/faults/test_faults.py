"""One rank fails, and every rank ends, soon and with a message that says why."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from multiproc.faults.cases import CASES, Case, expected, table
from multiproc.faults.found import FOUND
from multiproc.running import SCRIPTS, Launch, check, run

HERE = Path(__file__).parent
MATRIX = [pytest.param(case, where, id=f"{case.name}-{where[0]}-{where[1]}")
          for case in CASES for where in case.launches]  # fmt: skip

# From an error that nobody handles to the end of its process. With a rank that is stopped, Horovod
# waits 10 s more (HOROVOD_GLOO_TIMEOUT_SECONDS, 30 by default).
EXIT_SECONDS = 90

Outcomes = dict[tuple[str, str, int], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest) -> Outcomes:
    """How the ranks of each selected case ended; all cases share one process with TensorFlow."""
    calls = [getattr(item, "callspec", None) for item in request.session.items]
    chosen = [call.params for call in calls if call and isinstance(call.params.get("case"), Case)]
    names = [":".join(map(str, (params["case"].name, *params["launch"]))) for params in chosen]
    path = os.pathsep.join([str(SCRIPTS), str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])
    output = check(HERE / "sessions.py", *names, env={"PYTHONPATH": path}, timeout=1800)
    answers = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return {(answer["name"], *answer["launch"]): answer["ranks"] for answer in answers}


@pytest.mark.timeout(1900)
@pytest.mark.parametrize(("case", "launch"), MATRIX)
def test_every_rank_ends(case: Case, launch: Launch, outcomes: Outcomes) -> None:
    ranks = outcomes[(case.name, *launch)]
    assert len(ranks) == (launch[1] if launch[0] == "horovod" else 1)
    message = case.message.replace("{last}", str(len(ranks) - 1))
    for rank, end in enumerate(ranks):
        assert (end["status"], end["type"]) == expected(case, rank, launch), end["log"]
        if end["type"] is None:
            continue
        assert re.search(message, end["message"], re.DOTALL), end["message"]
        assert 0 <= end["raised"] <= case.within, end["log"]
        assert end["ended"] - end["raised"] <= EXIT_SECONDS, end["log"]
        if end["type"] == case.peers == "ReplicaError" and not case.leaves and case.error:
            assert re.match(rf"rank \d of {len(ranks)} failed in ", end["message"])
            assert re.search(rf"\n\nTraceback of rank \d:\n.*{case.error}", end["message"], re.S)


def test_the_table_in_the_readme_is_that_of_the_cases() -> None:
    readme = (HERE / "README.md").read_text()
    assert readme == table(), "python -m multiproc.faults.cases > multiproc/faults/README.md"


@pytest.mark.parametrize("test", [test for _, _, test in FOUND])
def test_what_was_found_is_tested(test: str) -> None:
    path, _, name = test.partition("::")
    assert f"\ndef {name}(" in (HERE.parents[1] / path).read_text()


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGSTOP])
def test_no_process_is_left_under_horovodrun(kind: signal.Signals, tmp_path: Path) -> None:
    done = run(
        HERE / "one_rank_ends.py", int(kind), tmp_path, launch=("horovodrun", 2),
        env={"HOROVOD_GLOO_TIMEOUT_SECONDS": "10"}, timeout=100,
    )  # fmt: skip
    assert done.returncode != 0
    pids = [int(path.name) for path in tmp_path.iterdir()]
    assert len(pids) == 2, done.stdout
    # horovodrun kills a rank that does not end by itself, and does not wait until it has ended.
    left = [process for process in psutil.process_iter() if process.pid in pids]
    _, alive = psutil.wait_procs(left, timeout=20)
    assert not alive, done.stdout
