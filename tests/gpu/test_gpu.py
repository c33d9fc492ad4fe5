"""The scripts of `tests/multiproc` on GPUs, and what differs there; `bash launch/test.sh --gpu`.

Every script also runs on logical CPU devices: here, or in `tests/multiproc`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from disteval.doctor.gpus import expected_gpus
from multiproc.running import Launch, check, processes

GPU = {"DISTEVAL_TEST_DEVICE": "GPU"}
COUNT = max(expected_gpus(), 1)
SINGLE: Launch = ("single", 1)
LAUNCHES: list[Launch] = [SINGLE, ("mirrored", COUNT), ("horovod", COUNT)]


@pytest.mark.parametrize("launch", [("mirrored", 2), ("horovod", 2)], ids=str)
def test_what_differs_on_gpus_runs_on_cpus(launch: Launch) -> None:
    assert check("gpu_evaluate.py", launch=launch).count("all passed") == processes(launch)


@pytest.mark.gpu
@pytest.mark.parametrize("launch", LAUNCHES, ids=str)
def test_what_differs_on_gpus(launch: Launch) -> None:
    output = check("gpu_evaluate.py", launch=launch, env=GPU)
    print(output)
    assert output.count("all passed") == processes(launch)


@pytest.mark.gpu
@pytest.mark.parametrize("launch", LAUNCHES, ids=str)
def test_outputs_of_every_dtype(launch: Launch) -> None:
    """Dense, ragged and string outputs, computed on GPUs and gathered."""
    output = check("predict_exactly.py", launch=launch, env=GPU)
    assert output.count("all equal") == processes(launch)


@pytest.mark.gpu
@pytest.mark.parametrize("launch", LAUNCHES[1:], ids=str)
def test_batch_normalization_is_lent_and_given_back(launch: Launch, tmp_path: Path) -> None:
    check("replicas_batchnorm.py", tmp_path, launch=launch, env=GPU)
    far = json.loads(check("replicas_load.py", tmp_path, env=GPU).splitlines()[-1])
    print(far)
    assert max(far["logged in epoch 0"], far["logged in epoch 1"]) <= 1e-4


@pytest.mark.gpu
@pytest.mark.parametrize("launch", LAUNCHES, ids=str)
def test_metrics_are_those_of_the_saved_model(launch: Launch, tmp_path: Path) -> None:
    check("evaluate_exactly.py", tmp_path, "--some", launch=launch, env=GPU)
