"""Options are checked in the constructor, before W&B is used, and the best version is marked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import wandb

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
        ({"reference": "copy"}, r"reference='copy'.*'media', 'row'"),
        ({"sync_weights": True}, r"sync_weights=True.*'auto', 'check', 'off'"),
        ({"on_log_error": "ignore"}, r"on_log_error='ignore'.*'warn', 'raise'"),
        ({"verbose": "no"}, r"verbose='no'.*'auto', 0, 1"),
        ({"num_samples": 0}, r"`num_samples` must be positive.*num_samples=0"),
        ({"batch_size": 1.5}, r"`batch_size` must be positive.*batch_size=1.5"),
        ({"timeout": None}, r"timeout=None.*positive number"),
        ({"timeout": -1}, r"timeout=-1.*positive number"),
        ({"partitions": 0}, r"partitions=0.*positive integer"),
        ({"partitions": 1.5}, r"partitions=1.5.*positive integer"),
        ({"partitions": 2, "reference": "row"}, r"partitions=2.*partitions=1"),
        ({"log_freq": 0}, r"log_freq=0.*a number of batches"),
        ({"validate": "yes"}, r"validate='yes'.*'auto', True, False"),
        ({"validate": True, "validation_data": None}, r"validate=True with validation_data=None"),
        ({"mode": "best"}, r"mode='best'"),
        ({"backend": "nccl"}, r"backend='nccl'"),
    ],
)
def test_options_are_checked_early(options: dict[str, Any], message: str) -> None:
    with pytest.raises(disteval.DistEvalError, match=message):
        Eval(["x"], ["y"], **{"validation_data": np.zeros((3, 1)), **options})


def test_the_best_version_gets_an_alias(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DIR", "DATA_DIR", "CACHE_DIR", "CONFIG_DIR"):
        monkeypatch.setenv(f"WANDB_{name}", str(tmp_path))
    wandb.teardown()  # W&B reads its settings once.
    aliases = []

    class Logs(Eval):
        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            super().on_epoch_end(epoch, {"loss": [3.0, 2.0, 2.5][epoch]})

        def log_pred_table(self, **options: Any) -> None:
            aliases.append(self._publisher.version.aliases)

    model = tf.keras.Sequential([tf.keras.Input((1,)), tf.keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.zeros((3, 1), np.float32)
    with wandb.init(mode="offline"):
        callback = Logs(["x"], ["y"], validation_data=(x, x), monitor="loss")
        model.fit(x, x, epochs=3, verbose=0, callbacks=[callback])
    wandb.teardown()
    assert aliases == [
        ["latest", "epoch_0", "best"],
        ["latest", "epoch_1", "best"],
        ["latest", "epoch_2"],
    ]
