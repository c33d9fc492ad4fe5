"""Whatever the data and the model, sharded predictions and metrics are those of one device."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import sharded_data
from multiproc.running import SINGLE, Launch, check, processes

LAUNCHES: list[Launch] = [SINGLE, ("mirrored", 3), ("horovod", 3)]
# EXAMPLES=500 and EVALUATIONS=300 are the numbers with which this was looked at most closely.
EXAMPLES = int(os.environ.get("EXAMPLES", "80"))
DIFFERENT_FORMS = 8  # of which each takes seconds to trace
SOURCES = ["arrays", "PyDataset", "dataset", "batched dataset", "function", "batched function"]
# The engines share these. Elements and pipelines are combined.
SHARDED_EXAMPLES = 200
NUMBERS = ["float16", "float32", "bfloat16", "bool", "int8", "int64", "uint8"]

# What `postprocess` returns: nests of dense, ragged and string outputs.
LEAVES = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(NUMBERS) | st.just("string"),
        "inner": st.sampled_from([[], [1], [3], [2, 2], [0]]),
        "ragged": st.integers(0, 2),
    }
)
NESTS = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(st.sampled_from("abc"), inner, min_size=1)
    ),
    max_leaves=2,
)
FORMS = st.lists(NESTS, min_size=2, max_size=3) | st.dictionaries(
    st.sampled_from("abc"), NESTS, min_size=2
)
SIZES = (
    st.integers(1, 60),  # samples
    st.integers(1, 20),  # batch size
    st.none() | st.integers(1, 70),  # num_samples
)
CASES = st.tuples(
    # The others set up a `tf.data.Dataset` in each example, which takes longer than all the rest.
    st.sampled_from([*SOURCES, *["arrays", "PyDataset"] * 2]),
    *SIZES,
)

SHARDED = st.tuples(st.sampled_from(sharded_data.NAMES), *SIZES)

# The engines share the examples of `evaluate`. Each engine takes seconds for each model.
EVALUATING: list[Launch] = [SINGLE, ("mirrored", 2), ("horovod", 3)]
EVALUATED = [*SOURCES, "sharded", "sharded batches"]
EVALUATIONS = int(os.environ.get("EVALUATIONS", "90"))
# The outputs of a model, and the metrics that each kind of output can have.
OUTPUTS = [["one-hot"], ["labels"], ["tokens"], ["value"], ["summed"], ["labels", "value"]]
METRICS = {
    "one-hot": ["accuracy", "auc", "macro_f1", "f1", "one_hot_iou", "r2", "mae", "rmse"],
    "labels": ["accuracy", "top_2", "iou"],
    "tokens": ["accuracy", "top_2"],
    "value": ["r2", "mae", "rmse"],
    "summed": ["r2", "mae", "rmse"],
}
FLAGS = ["sample weights", "BatchNormalization", "L2"]


def models(outputs: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Returns the models with these outputs."""
    metrics = {
        kind: st.fixed_dictionaries(
            {
                group: st.lists(st.sampled_from(METRICS[kind]), unique=True)
                for group in ("metrics", "weighted_metrics")
            }
        )
        for kind in outputs
    }
    flags = dict.fromkeys(FLAGS, st.booleans())
    return st.fixed_dictionaries({"outputs": st.fixed_dictionaries(metrics), **flags})


MODELS = st.tuples(*map(models, OUTPUTS * 2))

_T = TypeVar("_T")


def drawn(strategy: st.SearchStrategy[_T], count: int) -> list[_T]:
    """Draws examples, the same ones in each run.

    They are drawn here and not on the ranks, of which each has to evaluate the same.
    """
    found: list[_T] = []

    @settings(max_examples=count, derandomize=True, database=None, phases=[Phase.generate])
    @given(strategy)
    def collect(example: _T) -> None:
        found.append(example)

    collect()
    assert len(found) == count
    return found


def leaves(nest: Any) -> list[dict[str, Any]]:
    if isinstance(nest, dict) and "dtype" in nest:
        return [nest]
    parts = nest.values() if isinstance(nest, dict) else nest
    return [leaf for part in parts for leaf in leaves(part)]


@pytest.fixture(scope="module")
def examples() -> tuple[Any, list[Any], list[Any]]:
    """Outputs, and examples of data: for each engine, and those that the engines share."""
    forms = drawn(FORMS, DIFFERENT_FORMS)
    kinds = {(leaf["dtype"] == "string", leaf["ragged"]) for form in forms for leaf in leaves(form)}
    assert len(kinds) == 6, "strings and numbers, each of them dense, ragged, and ragged of ragged"
    cases = [(i % len(forms), *case) for i, case in enumerate(drawn(CASES, EXAMPLES))]
    assert {source for _, source, *_ in cases} == set(SOURCES)
    sharded = [(i % len(forms), *case) for i, case in enumerate(drawn(SHARDED, SHARDED_EXAMPLES))]
    return forms, cases, sharded


@pytest.mark.timeout(600)
@pytest.mark.parametrize("launch", LAUNCHES, ids=str)
def test_sharded_predictions_are_the_serial_ones(
    launch: Launch, examples: tuple[Any, list[Any], list[Any]], tmp_path: Path
) -> None:
    forms, cases, sharded = examples
    cases = [*cases, *sharded[LAUNCHES.index(launch) :: len(LAUNCHES)]]
    path = tmp_path / "examples.json"
    path.write_text(json.dumps({"forms": forms, "examples": cases}))
    output = check("predict_property.py", path, launch=launch, timeout=540)
    assert output.count(f"{len(cases)} equal") == processes(launch)


@pytest.fixture(scope="module")
def evaluations() -> tuple[Any, list[Any]]:
    """Models, and examples of data."""
    _, forms = drawn(MODELS, 2)  # the first example of Hypothesis is the simplest
    for flag in FLAGS:
        assert {form[flag] for form in forms} == {True, False}, flag
    for kind, metrics in METRICS.items():
        groups = [form["outputs"][kind] for form in forms if kind in form["outputs"]]
        assert {name for group in groups for names in group.values() for name in names} == {
            *metrics
        }, kind
    cases = drawn(st.tuples(st.sampled_from(EVALUATED), *SIZES), EVALUATIONS)
    return forms, cases


@pytest.mark.timeout(600)
@pytest.mark.parametrize("launch", EVALUATING, ids=str)
def test_sharded_metrics_are_those_of_keras(
    launch: Launch, evaluations: tuple[Any, list[Any]], tmp_path: Path
) -> None:
    forms, cases = evaluations
    cases = cases[EVALUATING.index(launch) :: len(EVALUATING)]
    # Not all models on each engine, since each takes seconds to trace there.
    third = len(forms) // len(EVALUATING)
    start = EVALUATING.index(launch) * third
    forms = [*forms, *forms][start : start + 2 * third]
    examples = [(i % len(forms), *case) for i, case in enumerate(cases)]
    path = tmp_path / "examples.json"
    path.write_text(json.dumps({"forms": forms, "examples": examples}))
    output = check("evaluate_property.py", path, launch=launch, timeout=540)
    assert output.count(f"{len(examples)} equal") == processes(launch)
