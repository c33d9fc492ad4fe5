"""Which of several outputs, targets and losses an evaluator reads."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf

from disteval.errors import DataError, DistEvalError
from disteval.tasks.selection import Selection, only_leaf, required

NEST = {"heads": [1, {"class": 2}], "a/b": 3, 7: 4}


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("heads", NEST["heads"]),
        ("heads/0", 1),
        ("heads/1/class", 2),
        (("heads", 1, "class"), 2),
        (["heads", -1, "class"], 2),
        ("a/b", 3),
        (7, 4),
        (None, NEST),
    ],
)
def test_a_name_a_path_and_an_index(key: Any, found: Any) -> None:
    assert Selection(key).output(NEST, None) == found
    assert Selection(None, key).label(NEST, None) == found


@pytest.mark.parametrize("key", ["head", "heads/2", 3, "heads/1/class/0", ("heads", "class")])
def test_a_key_that_there_is_not(key: Any) -> None:
    told = r"one of 'heads/0', 'heads/1/class', 'a/b', 7"
    with pytest.raises(DataError, match=rf"no output of this key.*output_key=.*{told}"):
        Selection(key).output(NEST, None)
    with pytest.raises(DataError, match=rf"no target of this key.*label_key=.*{told}"):
        Selection(None, key).label(NEST, None)


def test_a_list_of_outputs_has_the_names_of_the_model() -> None:
    inputs = tf.keras.Input((2,))
    first = tf.keras.layers.Dense(3, name="cls")(inputs)
    second = tf.keras.layers.Dense(1, name="val")(inputs)
    model = tf.keras.Model(inputs, [first, second])
    selection = Selection("val")
    assert selection.output([1, 2], model) == selection.label((3, 2), model) == 2
    assert selection.loss(["a", "b"], model) == "b"


def test_the_label_and_the_loss_with_the_key_of_the_output() -> None:
    selection = Selection("a")
    assert selection.label({"a": 1, "b": 2}, None) == 1
    assert selection.label(5, None) == 5
    assert selection.label({"b": 2}, None) == {"b": 2}, "another key: the error lists what there is"
    assert selection.loss({"a": "mse", "b": None}, None) == "mse"
    assert selection.loss({"b": "mse"}, None) is None
    assert selection.loss("mse", None) == "mse", "one loss for all outputs"
    assert Selection("a", "b").label({"a": 1, "b": 2}, None) == 2


def test_the_only_leaf() -> None:
    assert only_leaf({"a": [3]}, "outputs") == only_leaf(3, "outputs") == 3
    with pytest.raises(DataError) as info:
        only_leaf({"cls": 1, "val": [2, 3]}, "outputs")
    message = str(info.value)
    for part in ("3 outputs", "'cls', 'val/0', 'val/1'", "output_key=", "label_key="):
        assert part in message


@pytest.mark.parametrize("key", [1.5, True, (), [], ("a", None), {"a"}, b"a"])
def test_what_is_no_key(key: Any) -> None:
    with pytest.raises(DistEvalError, match=r"`output_key` is not a key. Received: output_key="):
        Selection(key)
    with pytest.raises(DistEvalError, match=r"`label_key` is not a key"):
        Selection(None, key)


def test_a_part_that_is_required() -> None:
    assert required(NEST, "prompt_key", "heads/0", None, "x has no part") == 1
    told = r"x has no part of this key\. Received: prompt_key='text'\. Expected: one of 'heads/0'"
    with pytest.raises(DataError, match=told):
        required(NEST, "prompt_key", "text", None, "x has no part")
