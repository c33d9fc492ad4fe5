"""Options of the callback are checked when it is made, before W&B is asked for anything."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import disteval


class Eval(disteval.DistEvalCallback):
    """Logs nothing."""

    def add_ground_truth(self, logs: dict[str, float] | None = None) -> None:
        pass

    def add_model_predictions(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reference": "copy"}, r"reference='copy'.*media, row"),
        ({"sync_weights": True}, r"sync_weights=True.*auto, check, off"),
        ({"on_log_error": "ignore"}, r"on_log_error='ignore'.*warn, raise"),
        ({"verbose": "no"}, r"verbose='no'.*auto, 0, 1"),
        ({"timeout": None}, r"timeout=None.*positive number"),
        ({"timeout": -1}, r"timeout=-1.*positive number"),
        ({"partitions": 0}, r"partitions=0.*positive number"),
        ({"partitions": 1.5}, r"partitions=1.5.*positive number"),
        ({"partitions": 2, "reference": "row"}, r"partitions=2.*partitions=1"),
        ({"log_freq": 0}, r"log_freq=0.*a number of batches"),
        ({"mode": "best"}, r"mode='best'"),
        ({"backend": "nccl"}, r"backend='nccl'"),
    ],
)
def test_options_are_checked_early(options: dict[str, Any], message: str) -> None:
    with pytest.raises(disteval.DistEvalError, match=message):
        Eval(["x"], ["y"], validation_data=np.zeros((3, 1)), **options)
