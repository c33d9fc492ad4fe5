"""The callback works however one trains."""

from __future__ import annotations

import pytest

from multiproc.running import Launch, check

LAUNCHES: list[Launch] = [("single", 1), ("mirrored", 2), ("horovod", 2)]
KERAS = [pytest.param({}, id="keras3"), pytest.param({"TF_USE_LEGACY_KERAS": "1"}, id="keras2")]


@pytest.mark.parametrize("keras", KERAS)
@pytest.mark.parametrize("launch", LAUNCHES, ids=str)
def test_ways_of_training(launch: Launch, keras: dict[str, str]) -> None:
    output = check("callbacks_train.py", launch=launch, env=keras)
    ranks = launch[1] if launch[0] == "horovod" else 1
    assert output.count("passed two_fits") == ranks
    assert output.count(f"model of {'tf_keras' if keras else 'keras'}.") == ranks


@pytest.mark.parametrize("launch", LAUNCHES[1:], ids=str)
def test_predictions_of_keras_2_are_those_of_model_predict(launch: Launch) -> None:
    output = check("predict_exactly.py", launch=launch, env={"TF_USE_LEGACY_KERAS": "1"})
    assert output.count("all equal") == (launch[1] if launch[0] == "horovod" else 1)
