"""The callback works however one trains."""

from __future__ import annotations

import pytest

from multiproc.running import Launch, check, processes

KERAS_3: dict[str, str] = {}
KERAS_2 = {"TF_USE_LEGACY_KERAS": "1"}
WAYS = [
    pytest.param(("mirrored", 2), KERAS_3, id="mirrored"),
    pytest.param(("horovod", 2), KERAS_3, id="horovod"),
    pytest.param(("horovod", 2), KERAS_2, id="horovod-keras-2"),
]


@pytest.mark.parametrize(("launch", "keras"), WAYS)
def test_ways_of_training(launch: Launch, keras: dict[str, str]) -> None:
    output = check("callbacks_train.py", launch=launch, env=keras)
    assert output.count("passed two_fits") == processes(launch)
    assert output.count(f"model of {'tf_keras' if keras else 'keras'}.") == processes(launch)


def test_predictions_of_keras_2_are_those_of_model_predict() -> None:
    output = check("predict_exactly.py", launch=("mirrored", 2), env=KERAS_2)
    assert output.count("all equal") == 1
