"""What the metadata of a version say."""

from __future__ import annotations

import json

import numpy as np
import tensorflow as tf

from disteval import receipts
from disteval.backends import Backend
from disteval.predict import Evaluation
from disteval.version import MAX_RECEIPT, Version


def test_metadata_stay_short_however_samples_were_read() -> None:
    shards = [np.arange(5000), 5000 + np.random.default_rng(0).permutation(5000)]
    written = [receipts.write(shard) for shard in shards]
    version = Version.start("epoch", 3, epoch=3, step=30, logs={"loss": 0.5})
    evaluation = Evaluation(np.zeros(10_000), 10_000, written, {"inference": 1.0}, 40_000, None)
    version.add(evaluation, Backend("single", tf.distribute.get_strategy()))
    assert version.aliases == ["latest", "epoch_3"]
    assert version.metadata["receipts"] == [[[0, 5000, 0, 1]], {"samples": 5000}]
    assert len(written[1]) > MAX_RECEIPT
    assert len(json.dumps(version.metadata)) < 500
