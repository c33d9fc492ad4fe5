"""Which engine is chosen, what one process does alone, and how bytes travel in pieces."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

import disteval
from disteval.agreement import Agreement, Status
from disteval.backends import NAMES, Backend
from disteval.backends.peers import _pieces
from disteval.errors import DataError, DistEvalError
from disteval.wire import Filler, bytes_of

keras = tf.keras


def small_model() -> keras.Model:
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])


@pytest.fixture(scope="module")
def strategy() -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy(["CPU:0"])


@pytest.fixture(scope="module")
def mirrored(strategy: tf.distribute.Strategy) -> keras.Model:
    with strategy.scope():
        return small_model()


def test_auto_without_a_model_is_a_single_device() -> None:
    backend = disteval.get_backend()
    facts = (backend.name, backend.rank, backend.size, backend.num_replicas, backend.is_chief)
    assert facts == ("single", 0, 1, 1, True)


def test_auto_follows_the_strategy_of_the_model(
    mirrored: keras.Model, strategy: tf.distribute.Strategy
) -> None:
    assert disteval.get_backend(model=small_model()).name == "single"
    backend = disteval.get_backend(model=mirrored)
    assert backend.name == "mirrored"
    assert backend.strategy is strategy


def test_auto_follows_the_scope_without_a_model(strategy: tf.distribute.Strategy) -> None:
    with strategy.scope():
        assert disteval.get_backend().name == "mirrored"


@pytest.mark.parametrize("in_scope", [False, True])
def test_single_leaves_the_strategy_of_the_model(
    in_scope: bool, mirrored: keras.Model, strategy: tf.distribute.Strategy
) -> None:
    if in_scope:
        with strategy.scope():
            backend = disteval.get_backend("single", model=mirrored)
    else:
        backend = disteval.get_backend("single", model=mirrored)
    assert backend.name == "single"
    assert not isinstance(backend.strategy, tf.distribute.MirroredStrategy)


def test_mirrored_needs_a_model_of_the_strategy(mirrored: keras.Model) -> None:
    assert disteval.get_backend("mirrored", model=mirrored).name == "mirrored"
    with pytest.raises(DistEvalError, match=r"MirroredStrategy.*strategy\.scope\(\).*\"auto\""):
        disteval.get_backend("mirrored", model=small_model())


@pytest.mark.parametrize("name", ["nccl", "", None])
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(DistEvalError, match=f"backend={name!r}.*{', '.join(NAMES)}"):
        disteval.get_backend(name)


def test_horovod_has_to_be_initialized_or_built() -> None:
    # Which of the two it is depends on whether Horovod is installed here.
    with pytest.raises(DistEvalError, match=r"needs .*(`hvd\.init\(\)`|launch/setup\.sh)"):
        disteval.get_backend("horovod")


def test_one_process_agrees_with_itself() -> None:
    with disteval.get_backend().together("here", same={"n": 1}) as agreement:
        agreement.own, agreement.data = {"m": 2}, b"\x00"
        agreement.check()
        assert not agreement.statuses
    assert agreement.statuses == [Status(0, "here", {"n": 1}, {"m": 2}, done=True, data=b"\x00")]


@pytest.mark.parametrize("error", [ValueError("own"), DataError("own"), KeyboardInterrupt()])
def test_together_raises_what_the_block_raised(error: BaseException) -> None:
    with pytest.raises(type(error)) as info, disteval.get_backend().together("here"):
        raise error
    assert info.value is error


def test_an_engine_agrees_once_about_a_block() -> None:
    steps: list[str] = []

    class Recording(Backend):
        """Takes note of what is agreed on."""

        def _agreement(self, status: Status) -> Agreement:
            steps.append(status.step)
            return super()._agreement(status)

    backend = Recording("single", tf.distribute.get_strategy())
    backend.agree("first", {"n": 1})
    with backend.together("second"):
        pass
    assert steps == ["first", "second"]


def test_one_process_broadcasts_to_itself() -> None:
    values = [np.arange(3), np.ones(())]
    received = disteval.get_backend().broadcast(values)
    assert all(a is b for a, b in zip(received, values, strict=True))


BUFFERS = st.lists(
    st.tuples(
        st.sampled_from(["float32", "uint8", "int64", "bool", tf.bfloat16.as_numpy_dtype]),
        st.sampled_from([(), (0,), (1,), (5,), (3, 2), (4, 0, 3)]),
    ),
    max_size=6,
)


@given(BUFFERS, st.integers(1, 40))
def test_pieces_are_equal_and_fill_the_arrays_of_the_chief(
    forms: list[tuple[object, tuple[int, ...]]], piece_bytes: int
) -> None:
    random = np.random.default_rng(0)
    buffers = [
        np.frombuffer(random.bytes(int(np.prod(shape)) * np.dtype(kind).itemsize), kind).reshape(
            shape
        )
        for kind, shape in forms
    ]
    total = sum(buffer.nbytes for buffer in buffers)
    pieces = _pieces(buffers, piece_bytes)
    taken = [next(pieces) for _ in range(max(-(-total // piece_bytes), 1))]
    assert [len(piece) for piece in taken[:-1]] == [piece_bytes] * (len(taken) - 1)
    assert sum(map(len, taken)) == total
    # A rank with less to send than others goes on with nothing.
    assert [len(next(pieces)) for _ in range(3)] == [0, 0, 0]
    targets = [np.empty_like(buffer) for buffer in buffers]
    writer = Filler(targets)
    for piece in taken:
        writer.write(piece)
    for target, buffer in zip(targets, buffers, strict=True):
        assert bytes_of(target).tobytes() == buffer.tobytes()
