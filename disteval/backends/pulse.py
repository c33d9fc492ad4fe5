"""Signs of life of a rank that computes something else while the other ranks wait for it.

A rank that trains, traces or saves takes part in no collective. A thread of it answers the others
on a port, so that they can tell a rank that is slow from one that is stopped, gone, or stuck.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import socket
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

# Host and port.
Address = tuple[str, int]

# Seconds in which a rank has to answer, although other threads of it hold the GIL.
ANSWER_SECONDS = 5.0
# A rank that uses less of a core than this is not at work. One that is stuck in a collective of
# Horovod still uses some percent, because Horovod polls.
BUSY_CORES = 0.1
# Ranks are asked so many at a time.
ASKED_AT_ONCE = 16


@dataclasses.dataclass(frozen=True)
class Sign:
    """What a rank answers.

    Attributes:
        step: The step at which it waits for the other ranks; empty while it does not.
        computed: Seconds of processor time that it has used.
    """

    step: str
    computed: float


class Pulse:
    """Answers the other ranks of a job, and asks them.

    Args:
        host: A name or address of this host that the other ranks know. Only its network is listened
            on.

    Attributes:
        step: The step at which this rank waits for the others; empty while it does not.
        address: Where the others can ask; `None` if no port can be opened at the host.
        peers: Where each other rank can be asked, by rank, as far as that is known.
    """

    def __init__(self, host: str) -> None:
        self.step = ""
        self.address: Address | None = None
        self.peers: dict[int, Address] = {}
        # The name may be one that only other hosts know.
        with contextlib.suppress(OSError):
            server = socket.create_server((host, 0))
            self.address = (host, server.getsockname()[1])
            threading.Thread(
                target=self._answer, args=(server,), name="disteval-pulse", daemon=True
            ).start()

    def _answer(self, server: socket.socket) -> None:
        # A process with too many open files gives no more signs of life: it is then a silent one.
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                sign = Sign(self.step, time.process_time())
                with connection, contextlib.suppress(OSError):  # the other has hung up
                    connection.sendall(json.dumps(dataclasses.asdict(sign)).encode())

    def ask(self) -> dict[int, Sign | None]:
        """Returns the answer of each other rank; `None` for one that does not answer."""
        with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
            return dict(zip(self.peers, pool.map(_ask, self.peers.values()), strict=True))


@functools.cache
def own_pulse(host: str) -> Pulse:
    """Returns the pulse of this process."""
    return Pulse(host)


def _ask(address: Address) -> Sign | None:
    try:
        with socket.create_connection(address, ANSWER_SECONDS) as connection:
            answer = json.loads(b"".join(iter(functools.partial(connection.recv, 4096), b"")))
        return Sign(str(answer["step"]), float(answer["computed"]))
    except (OSError, ValueError, TypeError, KeyError):  # no answer, or that of another program
        return None


class Watch:
    """Tells which ranks are still at work, from what they say at two moments.

    Args:
        pulse: The pulse of this process.
        step: Where the ranks are expected.
    """

    def __init__(self, pulse: Pulse, step: str) -> None:
        self._pulse = pulse
        self._step = step
        self._since = time.monotonic()
        self._signs: Mapping[int, Sign | None] = pulse.ask()

    @property
    def seconds(self) -> float:
        """How long ago the ranks were asked."""
        return time.monotonic() - self._since

    def busy(self) -> list[int]:
        """Returns the ranks that have yet to come; empty if one of them does not compute."""
        if None in self._signs.values():
            return []
        needed = BUSY_CORES * self.seconds
        signs = self._pulse.ask()
        busy = []
        for rank, sign in signs.items():
            before = self._signs.get(rank)
            if sign is None or before is None:
                return []
            if sign.step != self._step and sign.computed - before.computed < needed:
                return []
            if sign.step != self._step:
                busy.append(rank)
        return busy
