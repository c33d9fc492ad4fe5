"""A rank that computes is told from one that is stopped, gone or stuck."""

from __future__ import annotations

import socket
import time

import pytest

from disteval.backends import pulse
from disteval.backends.pulse import Pulse, Sign, Watch


def compute(seconds: float) -> None:
    """Uses processor time, which all threads of this process share."""
    start = time.process_time()
    while time.process_time() - start < seconds:
        pass


def pair() -> tuple[Pulse, Pulse]:
    mine, other = Pulse("127.0.0.1"), Pulse("127.0.0.1")
    mine.peers = {1: other.address}
    return mine, other


def test_a_rank_answers_where_it_waits_and_what_it_has_computed() -> None:
    mine, other = pair()
    other.step = "the begin of epoch 3"
    (first,) = mine.ask().values()
    compute(0.1)
    (second,) = mine.ask().values()
    assert first.step == second.step == "the begin of epoch 3"
    assert second.computed - first.computed >= 0.1


def test_a_rank_that_computes_is_busy_until_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "BUSY_CORES", 0.001)  # others may use this machine
    mine, other = pair()
    watch = Watch(mine, "here")
    compute(0.1)
    assert watch.busy() == [1]
    other.step = "here"
    assert watch.busy() == []


def test_a_rank_that_computes_nothing_is_not_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    mine, _ = pair()
    watch = Watch(mine, "here")
    # As if hours had passed.
    monkeypatch.setattr(Watch, "seconds", 10_000.0)
    assert watch.busy() == []


def test_ranks_that_do_not_answer_are_not_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "ANSWER_SECONDS", 0.2)
    mine, _ = pair()
    with socket.create_server(("127.0.0.1", 0)) as gone:
        gone_address = gone.getsockname()[:2]
    # One that accepts connections and says nothing, as a process that is stopped.
    with socket.create_server(("127.0.0.1", 0)) as stopped:
        mine.peers |= {2: gone_address, 3: stopped.getsockname()[:2]}
        answers = mine.ask()
        assert isinstance(answers[1], Sign)
        assert answers[2] is answers[3] is None
        watch = Watch(mine, "here")
        compute(0.1)
        assert watch.busy() == [], "one rank that is gone is enough"


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400", b"[]", b'{"step": "here"}', b"\xff"])
def test_what_another_program_answers_is_no_sign(answer: bytes) -> None:
    mine = Pulse("127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        mine.peers = {1: server.getsockname()[:2]}
        with pulse.ThreadPoolExecutor(1) as pool:
            asked = pool.submit(mine.ask)
            connection, _ = server.accept()
            connection.sendall(answer)
            connection.close()
            assert asked.result() == {1: None}


def test_a_host_that_this_one_is_not_gives_no_address() -> None:
    assert Pulse("no-such-host.invalid").address is None
    assert Pulse("192.0.2.1").address is None


def test_a_process_has_one_pulse() -> None:
    assert pulse.own_pulse("127.0.0.1") is pulse.own_pulse("127.0.0.1")
