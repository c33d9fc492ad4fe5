"""Random schedules: a job and the faults that happen in it, all drawn from a seed."""

from __future__ import annotations

import dataclasses
import json
import random

from multiproc.running import Launch

# Where a process counts, so that the moment of a fault is the same each time.
TRAINING = ("train batch", "epoch end")
READING = "read"
INFERENCE = "inference"
HOOK = "hook"
# Kinds of faults after which the training of a rank cannot go on.
FATAL = ("kill", "raise", "interrupt")
# What W&B does to requests, as plans of `wandb_backend.faults`; for 0 a number is drawn.
SERVER = (
    {"fail_first": 0, "status": 500},
    {"fail_first": 0, "status": 401},
    {"fail_first": 0, "status": 429},
    {"close_first": 0},
    {"cut_first": 0},
    {"drop_uploads": 0},
    {"lose_first": 0, "only": ["CommitArtifact"]},
    {"delay": 0.0},
)
ENGINES: tuple[Launch, ...] = (
    ("single", 1), ("mirrored", 2), ("horovod", 2), ("horovod", 3), ("horovod", 4),
    ("multiworker", 2), ("elastic", 3),
)  # fmt: skip
# An elastic job takes several times as long as any other.
WEIGHTS = (4, 4, 4, 4, 4, 4, 1)
DATA = ("arrays", "dataset", "py_dataset", "function", "sharded")


@dataclasses.dataclass(frozen=True)
class Fault:
    """What goes wrong, and when.

    Attributes:
        kind: `"kill"`, `"stop"`, `"raise"`, `"interrupt"`, `"clock"`, `"slow"`, `"server"`,
            `"fill"` or `"empty"` (the disk).
        event: What its rank counts.
        number: At which of these events it happens, from 0.
        rank: On which rank.
        amount: Seconds that the rank is stopped or its clock jumps; `None` if that has no meaning.
        plan: What W&B does; see `SERVER`.
    """

    kind: str
    event: str
    number: int
    rank: int = 0
    amount: float | None = None
    plan: dict[str, object] | None = None


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A job and its faults.

    Attributes:
        seed: What it was drawn from.
        engine: How many processes run, and which; see `multiproc.running.run`.
        data: The form of the validation data.
        samples, batch_size: Of the validation data.
        evaluations: How many there are if nothing goes wrong.
        log_freq, asynchronous, validate: See `DistEvalCallback`.
        mode: W&B's.
        faults: One or several.
    """

    seed: int
    engine: Launch
    data: str
    samples: int
    batch_size: int
    evaluations: int
    log_freq: str | int
    asynchronous: bool
    validate: bool
    mode: str
    faults: tuple[Fault, ...]

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Schedule:
        fields = json.loads(text)
        faults = tuple(Fault(**fault) for fault in fields.pop("faults"))
        engine = tuple(fields.pop("engine"))
        return cls(**fields, engine=engine, faults=faults)

    @property
    def size(self) -> int:
        """The number of processes."""
        return _size(self.engine)

    @property
    def needs_disk(self) -> bool:
        return _fills(self.faults)


def draw(seed: int) -> Schedule:
    """Returns the schedule of a seed."""
    chance = random.Random(seed)
    (engine,) = chance.choices(ENGINES, WEIGHTS)
    if engine[0] == "elastic":
        return _draw_elastic(chance, seed, engine)
    data = chance.choice(DATA)
    evaluations = chance.randint(3, 12)
    faults: list[Fault] = []
    for _ in range(chance.randint(1, 3)):
        faults += _draw_fault(chance, engine, data, evaluations)
    return Schedule(
        seed=seed,
        engine=engine,
        data=data,
        samples=chance.randint(5, 60),
        batch_size=chance.choice((4, 8, 32)),
        evaluations=evaluations,
        log_freq=chance.choice(("epoch", "epoch", 3)),
        asynchronous=chance.random() < 0.7,
        validate=chance.random() < 0.7,
        # A full disk ends W&B's own log of an offline run for good.
        mode="online" if chance.random() < 0.8 or _fills(tuple(faults)) else "offline",
        faults=tuple(faults),
    )


def _draw_elastic(chance: random.Random, seed: int, engine: Launch) -> Schedule:
    """Returns a schedule in which one rank or two are lost, and W&B may fail."""
    evaluations = chance.randint(3, 5)
    lost = chance.sample(range(engine[1]), chance.randint(1, 2))
    events = [chance.choice(TRAINING) for _ in lost]
    faults = [
        Fault("kill", event, chance.randrange(2 if event == "epoch end" else 20), rank)
        for rank, event in zip(lost, events, strict=True)
    ]
    if chance.random() < 0.5:
        faults.append(_draw_server_fault(chance, evaluations))
    return Schedule(
        seed, engine, "arrays", samples=40, batch_size=32, evaluations=evaluations,
        log_freq="epoch", asynchronous=True, validate=True, mode="online", faults=tuple(faults),
    )  # fmt: skip


def _draw_server_fault(chance: random.Random, evaluations: int) -> Fault:
    plan = dict(chance.choice(SERVER))
    for name, value in plan.items():
        if value == 0:
            plan[name] = chance.uniform(0.05, 0.5) if name == "delay" else chance.randint(1, 20)
    return Fault("server", "epoch end", chance.randrange(evaluations), plan=plan)


def _size(engine: Launch) -> int:
    return engine[1] if engine[0] in ("horovod", "multiworker", "elastic") else 1


def _fills(faults: tuple[Fault, ...]) -> bool:
    return any(fault.kind == "fill" for fault in faults)


def _draw_fault(chance: random.Random, engine: Launch, data: str, evaluations: int) -> list[Fault]:
    """Returns a fault, and what ends it if it has an end of its own."""
    rank = chance.randrange(_size(engine))
    kind = chance.choice(
        ("kill", "stop", "stop", "raise", "interrupt", "server", "server", "server", "fill",
         "clock", "slow")
    )  # fmt: skip
    if kind == "fill":
        first = chance.randrange(evaluations - 1)
        last = chance.randint(first + 1, evaluations)
        return [Fault("fill", "epoch end", first), Fault("empty", "epoch end", last)]
    if kind == "server":
        return [_draw_server_fault(chance, evaluations)]
    places = [*TRAINING, INFERENCE]
    if data != "arrays":
        places.append(READING)
    if rank == 0:
        places.append(HOOK)
    event = chance.choice(places)
    number = chance.randrange(evaluations * (1 if event in ("epoch end", HOOK) else 3))
    # TensorFlow itself gives workers up that are stopped for longer.
    longest = 2 if engine[0] == "multiworker" else 8
    amounts = {"stop": chance.uniform(0.1, longest), "clock": chance.choice((-7200.0, 7200.0))}
    return [Fault(kind, event, number, rank, amounts.get(kind))]
