"""The predictions are those of one model, the one that the chief would save, or an error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from multiproc.running import Launch, check

KERAS = [pytest.param({}, id="keras3"), pytest.param({"TF_USE_LEGACY_KERAS": "1"}, id="keras2")]


@pytest.mark.parametrize("keras", KERAS)
@pytest.mark.parametrize("launch", [("horovod", 2), ("mirrored", 2)], ids=str)
def test_predictions_are_those_of_the_saved_model(
    launch: Launch, keras: dict[str, str], tmp_path: Path
) -> None:
    output = check("replicas_batchnorm.py", tmp_path, launch=launch, env=keras)
    assert f"model of {'tf_keras' if keras else 'keras'}." in output
    far = json.loads(check("replicas_load.py", tmp_path, env=keras).splitlines()[-1])
    print(launch, keras, far)
    assert far.pop("logged in epoch 0") <= 1e-6
    assert far.pop("logged in epoch 1") <= 1e-6
    # Without the lending, the answer depends on the replica that is asked.
    own = [far.pop(f"model.predict of rank {rank}") for rank in range(len(far))]
    assert len(own) == (2 if launch[0] == "horovod" else 1)
    assert own[-1] > 0.1


@pytest.mark.parametrize("keras", KERAS)
def test_weights_and_state_that_differ(keras: dict[str, str]) -> None:
    output = check("replicas_diverge.py", launch=("horovod", 2), env=keras)
    assert output.count("all passed") == 2
