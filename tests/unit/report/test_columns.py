"""Which column of a table is what, and its values as a page can hold them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from disteval.report.columns import MAX_TEXT, are_classes, class_name, encode, recognise

PICTURE = {"_type": "image-file", "path": "media/images/a.png"}


@pytest.mark.parametrize(
    ("columns", "roles"),
    [
        (
            ["epoch", "index", "image", "label", "predicted", "confidence"],
            {"picture": 2, "key": 1, "truth": 3, "prediction": 4, "confidence": 5},
        ),
        (
            ["epoch", "idx", "image", "ground_truth", "prediction"],
            {"picture": 2, "key": 1, "truth": 3, "prediction": 4},
        ),
        (
            ["trueLabel", "predictedLabel", "predicted probability", "cross-entropy loss"],
            {"truth": 0, "prediction": 1, "confidence": 2, "loss": 3},
        ),
        (
            ["image", "target", "prediction", "residual", "absolute_error", "squared_error"],
            {"picture": 0, "truth": 1, "prediction": 2, "loss": 4},
        ),
        (["prediction", "is_correct", "y"], {"prediction": 0, "correct": 1, "truth": 2}),
        (["prediction", "top_k_scores", "loss"], {"prediction": 0, "loss": 2}),
        (["text", "length"], {}),
        (["index", "true_positives", "false_positives", "false_negatives"], {"key": 0}),
    ],
)
def test_roles(columns: list[str], roles: dict[str, int]) -> None:
    def cells(name: str) -> list[Any]:
        kinds: dict[str, Callable[[int], Any]] = {
            "image": lambda row: PICTURE,
            "is_correct": lambda row: bool(row),
            "top_k_scores": lambda row: [0.5, 0.5],
            "idx": lambda row: row,
            "index": lambda row: row,
        }
        return [kinds.get(name, lambda row: 1.0)(row) for row in range(3)]

    expected = {role: columns[number] for role, number in roles.items()}
    assert recognise({name: cells(name) for name in columns}) == expected


def test_texts_beside_their_references() -> None:
    columns = {"index": [0, 1], "prompt": ["p", "q"], "reference": ["a", "b"], "output": ["a", "c"],
               "score": [100.0, 5.0], "exact_match": [True, False], "f1": [1.0, 0.0]}  # fmt: skip
    expected = {"key": "index", "reference": "reference", "prediction": "output"}
    expected |= {"confidence": "score", "correct": "exact_match"}
    assert recognise(columns) == expected
    assert "reference" not in recognise({"reference": [1, 2]})
    for limits, length in (((), MAX_TEXT), ((2000,), 2000)):
        assert len(encode(["x" * 5000], *limits)["values"][0]) == length


def test_names_are_not_enough() -> None:
    columns = {"loss": ["high", "low"], "index": [1, 1], "correct": [0.5, 1.0], "image": ["a", "b"]}
    assert recognise(columns) == {}


def test_classes() -> None:
    assert are_classes([1, 2.0, None], ["cat"], [True])
    assert not are_classes([1, 2], [0.5])
    assert not are_classes([float("nan")])
    assert not are_classes([["cat", "dog"]])
    assert not are_classes(list(range(10_000)))
    assert [class_name(cell, {1: "cat"}) for cell in (1, 1.0, 2, "dog", True)] == [
        "cat", "cat", "2", "dog", "True",
    ]  # fmt: skip


def test_cells() -> None:
    numbers = [1, 0.123456789, float("nan"), float("-inf"), None]
    assert encode(numbers) == {
        "kind": "number",
        "values": [1, 0.12346, "NaN", "-Infinity", None],
    }
    others = ["a" * 1000, [0.123456789, "b"], {"_type": "audio-file", "path": "x.wav"}, None, {}]
    encoded = encode(others)
    assert encoded["kind"] == "nested"
    assert encode(["a", None, True])["kind"] == "text"
    assert encoded["values"] == [
        "a" * (MAX_TEXT - 1) + "…", "0.12346, b", "x.wav", None, "{}",
    ]  # fmt: skip
