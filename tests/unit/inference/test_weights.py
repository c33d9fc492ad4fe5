"""Fingerprints of variables, what is compared, and what is lent and given back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from disteval.backends.local import LocalBackend
from disteval.errors import ReplicaDivergenceError
from disteval.inference.weights import ModelWeights, WeightsReport

keras = tf.keras
BACKEND = LocalBackend("single", tf.distribute.get_strategy())
DTYPES = ["float16", "float32", "float64", "complex64", "complex128", "bool", "int8", "int16",
          "int32", "int64", "uint8", "uint16", "uint32", "uint64"]  # fmt: skip


class FakeModel:
    """A model of which only the weights count."""

    def __init__(self, *weights: Any) -> None:
        self.weights = [tf.Variable(weight) for weight in weights]

    @property
    def trainable_weights(self) -> list[Any]:
        return [weight for weight in self.weights if weight.trainable]


def fingerprint(value: Any) -> int:
    return int(ModelWeights(FakeModel(value), BACKEND).fingerprints()[0, 0])


def arrays(dtype: str) -> st.SearchStrategy[np.ndarray]:
    return hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_side=4, min_side=0))


@given(st.sampled_from(DTYPES).flatmap(lambda d: st.tuples(*[arrays(d)] * 2)))
def test_fingerprints_are_equal_if_and_only_if_the_bits_are(pair: tuple[Any, Any]) -> None:
    first, second = pair
    assert fingerprint(first) == fingerprint(first.copy())
    if first.shape == second.shape:
        same = first.tobytes() == second.tobytes()
        assert (fingerprint(first) == fingerprint(second)) == same


@given(st.data(), st.sampled_from(["float16", "float32", "float64", "int64"]))
def test_an_exchange_of_two_values_is_seen(data: st.DataObject, dtype: str) -> None:
    values = data.draw(hnp.arrays(dtype, st.integers(2, 300)))
    i, j = data.draw(st.lists(st.integers(0, len(values) - 1), min_size=2, max_size=2))
    other = values.copy()
    other[[i, j]] = values[[j, i]]
    same = other.tobytes() == values.tobytes()
    assert (fingerprint(other) == fingerprint(values)) == same


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_an_exchange_of_signs_is_seen(dtype: str) -> None:
    assert fingerprint(np.array([1, -1], dtype)) != fingerprint(np.array([-1, 1], dtype))


@pytest.mark.parametrize("change", [0, 499_999, 999_999])
def test_one_bit_in_a_million_values_is_seen(change: int) -> None:
    values = np.random.default_rng(0).normal(size=1_000_000).astype(np.float32)
    other = values.copy()
    other.view(np.int32)[change] ^= 1
    assert fingerprint(values) != fingerprint(other)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128", "bool", "int8", "float16"])
def test_pieces_add_up_to_the_fingerprint(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).integers(0, 100, size=(7, 301)).astype(dtype)
    whole = fingerprint(values)
    monkeypatch.setattr("disteval.inference.weights.HASHED", 64)
    assert fingerprint(values) == whole
    values[3, 5] = not values[3, 5]
    assert fingerprint(values) != whole


def test_values_that_compare_equal_but_differ_in_bits_are_seen() -> None:
    assert fingerprint([0.0]) != fingerprint([-0.0])
    assert fingerprint([np.nan]) == fingerprint([np.nan])
    assert fingerprint(tf.constant([1.0], tf.bfloat16)) != fingerprint(
        tf.constant([2.0], tf.bfloat16)
    )


def model(**changes: float) -> keras.Model:
    """Returns a model with a layer of each kind, and with values added to some variables."""
    keras.utils.set_random_seed(0)
    normalization = keras.layers.BatchNormalization(name="normalization")
    dense = keras.layers.Dense(2, name="dense")
    result = keras.Sequential([keras.Input((3,)), normalization, dense])
    for name, change in changes.items():
        layer = dense if name in ("kernel", "bias") else normalization
        variable = getattr(layer, name)
        variable.assign(variable + change)
    return result


def reports(*models: keras.Model) -> tuple[ModelWeights, list[WeightsReport]]:
    """Returns the weights of rank 0, and what each rank reports of its own."""
    ranks = [ModelWeights(each, BACKEND) for each in models]
    return ranks[0], [weights.report() for weights in ranks]


def names(weights: ModelWeights, differing: dict[int, list[int]]) -> dict[str, list[int]]:
    # Keras 2 calls them "dense/kernel:0".
    full = {weights.variables[i].name: ranks for i, ranks in differing.items()}
    return {name.split("/")[-1].removesuffix(":0"): ranks for name, ranks in full.items()}


def test_equal_models_do_not_differ() -> None:
    weights, all_ranks = reports(model(), model(), model())
    assert weights.differing(all_ranks) == {}


def test_a_model_without_variables_does_not_differ() -> None:
    weights, all_ranks = reports(FakeModel(), FakeModel())
    assert weights.differing(all_ranks) == {}


def test_each_variable_that_differs_comes_with_its_ranks() -> None:
    weights, all_ranks = reports(
        model(), model(kernel=1.0), model(moving_mean=1.0), model(kernel=1e-7)
    )
    differing = names(weights, weights.differing(all_ranks))
    assert differing == {"kernel": [1, 3], "moving_mean": [2]}


def test_state_that_differs_is_an_error_only_if_that_is_asked_for() -> None:
    weights, all_ranks = reports(model(), model(moving_mean=1.0))
    differing = weights.differing(all_ranks)
    weights.check(differing, "auto")
    with pytest.raises(ReplicaDivergenceError, match=r"1 of 6 .*\n.*moving_mean: on ranks \[1\]"):
        weights.check(differing, "check")


def test_weights_that_differ_are_an_error() -> None:
    weights, all_ranks = reports(model(), model(kernel=1.0, moving_mean=1.0))
    with pytest.raises(ReplicaDivergenceError, match=r"1 of 6 .*\n.*kernel: on ranks \[1\]"):
        weights.check(weights.differing(all_ranks), "auto")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (FakeModel(np.zeros((3, 2))), r"float64 of shape \[3, 2\].*float32 of shape \[3, 2\]"),
        (FakeModel(np.zeros((2, 3), "f")), r"float32 of shape \[2, 3\].*float32 of shape \[3, 2\]"),
        (FakeModel(np.zeros((3, 2), "f"), 0.0), "there are 2 variables, and 1 on rank 0"),
        (FakeModel(), "there are 0 variables, and 1 on rank 0"),
    ],
)
def test_another_model_is_an_error(other: FakeModel, message: str) -> None:
    weights, all_ranks = reports(FakeModel(np.zeros((3, 2), "f")), other)
    with pytest.raises(ReplicaDivergenceError, match=f"rank 1 has another model.*{message}"):
        weights.differing(all_ranks)


def test_a_layer_that_is_frozen_on_one_rank_is_an_error() -> None:
    frozen = model()
    frozen.layers[-1].trainable = False
    weights, all_ranks = reports(model(), frozen)
    with pytest.raises(ReplicaDivergenceError, match="not trainable, and on rank 0"):
        weights.differing(all_ranks)


class Chief(LocalBackend):
    """A rank to which a chief lends zeros."""

    def broadcast(self, values):
        return [np.zeros_like(value) for value in values]


@pytest.mark.parametrize("fails", [False, True])
def test_what_is_lent_is_given_back_bit_for_bit(fails: bool) -> None:
    own = [np.array([np.nan, -0.0, 1e-45], "f"), np.array([True, False]), np.array(7, np.int64)]
    fake = FakeModel(*own)
    weights = ModelWeights(fake, Chief("single", tf.distribute.get_strategy()))
    raised = None
    try:
        with weights.lent([0, 2]):
            inside = [weight.numpy().tobytes() for weight in fake.weights]
            if fails:
                raise KeyError
    except KeyError as error:
        raised = error
    assert (raised is not None) == fails
    assert inside == [np.zeros(3, "f").tobytes(), own[1].tobytes(), bytes(8)]
    assert [w.numpy().tobytes() for w in fake.weights] == [value.tobytes() for value in own]
