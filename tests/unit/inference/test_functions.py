"""The functions that run on each batch: checked, compared, and given the model itself."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import tensorflow as tf

from disteval.errors import DistEvalError
from disteval.inference.functions import BatchFunctions


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"infer": "predict"}, r"infer='predict'.*def infer\(model, batch\)"),
        ({"infer": lambda model: model}, r"`infer` must be a function of 2 arguments"),
        ({"postprocess": lambda outputs: outputs}, r"`postprocess` must be a function of 2"),
        ({"eager": 1}, r"eager=1.*True, False"),
    ],
)
def test_wrong_functions(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DistEvalError, match=message):
        BatchFunctions(**arguments)


def test_equal_functions_share_a_trace() -> None:
    def infer(model: Any, batch: Any) -> Any:
        return batch

    assert BatchFunctions(infer=infer) == BatchFunctions(infer=infer)
    assert BatchFunctions(infer=infer) != BatchFunctions()
    assert BatchFunctions(infer=infer) != BatchFunctions(infer=infer, eager=True)


def test_infer_gets_the_model_and_not_a_weak_reference() -> None:
    model = tf.keras.Sequential([tf.keras.Input((1,)), tf.keras.layers.Dense(1)])
    functions = BatchFunctions(infer=lambda model, batch: (model, batch))
    for given in (model, weakref.proxy(model)):
        infer = functions.infer_for(given)
        assert infer is not None
        found, batch = infer(3)
        assert found is model
        assert batch == 3
    assert BatchFunctions().infer_for(model) is None


def test_outputs_travel_without_a_postprocess() -> None:
    assert BatchFunctions().finish(1, 2) == 1
    assert BatchFunctions(lambda outputs, batch: outputs + batch).finish(1, 2) == 3
