"""What has to be true after every job, whatever happened in it."""

from __future__ import annotations

import collections
import re
from collections.abc import Callable, Iterator

import numpy as np

from chaos.jobs import Outcome
from chaos.schedules import FATAL, Schedule

Invariant = Callable[[Schedule, Outcome], Iterator[str]]

# What the error of a rank says of a fault, on the rank itself or on another.
NAMES = {"raise": "planted fault", "interrupt": "KeyboardInterrupt"}
# What a rank sees of another that has ended in the middle of a collective, also in the user's own
# training.
LOST = r"a peer is gone|peer was killed|no answer in|has been shut down|Connection|heartbeat|Socket"


def broken(schedule: Schedule, outcome: Outcome) -> list[str]:
    """Returns a line for each invariant that does not hold."""
    checks: list[Invariant] = [aliases_are_right, no_row_is_there_twice]
    if schedule.engine[0] == "elastic":
        checks.append(every_epoch_is_there)
    else:
        checks += [
            ranks_end, errors_name_the_fault, nothing_is_left, logs_are_equal, versions_are_there,
            tables_are_right,
        ]  # fmt: skip
    return [f"{check.__name__}: {line}" for check in checks for line in check(schedule, outcome)]


def fatal(schedule: Schedule, outcome: Outcome) -> set[str]:
    """Returns the kinds of the faults that happened and with which training cannot go on."""
    return {schedule.faults[index].kind for index in outcome.fired} & set(FATAL)


def ranks_end(schedule: Schedule, outcome: Outcome) -> Iterator[str]:
    fired = [schedule.faults[index] for index in outcome.fired]
    killed = {fault.rank for fault in fired if fault.kind == "kill"}
    for rank in set(range(schedule.size)) - set(outcome.notes) - killed:
        yield f"rank {rank} has neither finished nor failed"
    is_well = outcome.status == 0
    if is_well == bool(fatal(schedule, outcome)):
        yield f"the status is {outcome.status}, with {fatal(schedule, outcome) or 'no'} faults"


def errors_name_the_fault(schedule: Schedule, outcome: Outcome) -> Iterator[str]:
    kinds = fatal(schedule, outcome) & NAMES.keys()
    pattern = "|".join([LOST, *(NAMES[kind] for kind in kinds)])
    for rank, notes in outcome.notes.items():
        if notes["error"] is not None and not re.search(pattern, notes["error"]):
            yield f"rank {rank}: {notes['error']}"


def nothing_is_left(schedule: Schedule, outcome: Outcome) -> Iterator[str]:
    is_killed = "kill" in fatal(schedule, outcome)
    if not is_killed:  # nobody can tidy up after SIGKILL
        yield from outcome.left
    yield from outcome.unsent
    for rank, notes in outcome.notes.items():
        if notes["error"] is None and notes["threads"]:
            yield f"threads of rank {rank}: {notes['threads']}"


def logs_are_equal(schedule: Schedule, outcome: Outcome) -> Iterator[str]:
    logs = {rank: notes["logs"] for rank, notes in outcome.notes.items() if "logs" in notes}
    epochs = min(map(len, logs.values()), default=0)
    for rank, rows in logs.items():
        if rows[:epochs] != next(iter(logs.values()))[:epochs]:
            yield f"rank {rank}: {rows}"
        if not fatal(schedule, outcome) and any(rows) != schedule.validate:
            yield f"rank {rank} has {rows} of validation"


def versions_are_there(schedule: Schedule, outcome: Outcome) -> Iterator[str]:
    """Each version is committed (perhaps by `upload`), or was named as lost to the disk."""
    if 0 not in outcome.notes:
        return  # the chief was killed, and with it the list of its versions
    notes = outcome.notes[0]
    evaluated = [version["name"] for version in notes.get("versions", ())]
    text = "\n".join(notes["warnings"])
    lost = set(re.findall(r"and (\w+_\d+) of \S+ is lost", text))
    failed_hook = any(
        schedule.faults[i].kind in FATAL and schedule.faults[i].event == "hook"
        for i in outcome.fired
    )
    missing = set(evaluated) - set(outcome.tables) - lost
    if len(missing) > failed_hook:
        yield f"{sorted(missing)} of {evaluated} are neither committed nor lost"
    if both := lost & set(outcome.tables):
        yield f"{both} are committed, and were said to be lost"
    if lost and not schedule.needs_disk:
        yield f"{lost} are lost without a full disk"
    more = set(outcome.tables) - set(evaluated)
    if len(more) > bool(fatal(schedule, outcome)):
        yield f"{more} were committed and not evaluated"
    if not fatal(schedule, outcome) and len(evaluated) < schedule.evaluations:
        yield f"only {evaluated} of {schedule.evaluations} evaluations"


def tables_are_right(schedule: Schedule, outcome: Outcome) -> Iterator[str]:
    """Each table has each sample once, in order, with what the saved model predicts."""
    random = np.random.default_rng(schedule.seed)
    x = random.normal(size=(schedule.samples, 4)).astype(np.float32)
    versions = {v["name"]: v for v in outcome.notes.get(0, {}).get("versions", ())}
    for name, rows in outcome.tables.items():
        if [row[0] for row in rows] != list(range(schedule.samples)):
            yield f"{name} has the rows {[row[0] for row in rows]}"
        elif name in versions:
            kernel, bias = map(np.array, versions[name]["weights"])
            found = np.array([row[1:] for row in rows])
            if not np.allclose(found, x @ kernel + bias, rtol=1e-4, atol=1e-5):
                yield f"{name} does not have the predictions of its model"


def every_epoch_is_there(schedule: Schedule, outcome: Outcome) -> Iterator[str]:
    """An elastic job ends well, and has a whole version of each epoch, whoever was chief."""
    expected = {f"epoch_{epoch}" for epoch in range(schedule.evaluations)}
    if set(outcome.tables) != expected:
        yield f"the versions are {sorted(outcome.tables)} of {schedule.evaluations}"
    for name, rows in outcome.tables.items():
        if [row[1] for row in rows] != list(range(schedule.samples)):
            yield f"{name} has the rows {[row[1] for row in rows]}"
    yield from outcome.unsent


def aliases_are_right(schedule: Schedule, outcome: Outcome) -> Iterator[str]:
    aliases = {
        alias: name
        for artifact in outcome.state["artifacts"]
        if artifact["state"] == "COMMITTED" and artifact["collection"].endswith("_pred")
        for alias in artifact["aliases"]
        for name in artifact["aliases"]
        if name not in ("latest", "best")
    }
    newest = max(outcome.tables, key=lambda name: int(name.partition("_")[2]), default=None)
    if newest and aliases.get("latest") != newest:
        yield f"latest is {aliases.get('latest')}, and the newest is {newest}"
    versions = outcome.notes.get(0, {}).get("versions", ())
    if not versions or not schedule.validate or set(outcome.tables) - {v["name"] for v in versions}:
        return
    best = min(versions, key=lambda version: version["metrics"]["loss"])["name"]
    if best in outcome.tables and aliases.get("best") != best:
        yield f"best is {aliases.get('best')}, and {best} has the lowest loss"


def no_row_is_there_twice(schedule: Schedule, outcome: Outcome) -> Iterator[str]:
    for run in outcome.state["runs"].values():
        steps = collections.Counter(row["_step"] for row in run["history"])
        if twice := [step for step, count in steps.items() if count > 1]:
            yield f"the steps {twice} of the run"
        if schedule.log_freq == "epoch":
            rows = (row["eval/epoch"] for row in run["history"] if "eval/epoch" in row)
            if twice := [epoch for epoch, n in collections.Counter(rows).items() if n > 1]:
                yield f"the epochs {twice} of the run"
