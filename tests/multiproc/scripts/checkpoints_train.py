"""Trains on one device and saves a checkpoint of each epoch; says what each of them predicts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import tensorflow as tf

import checkpoints_factory
from checkpoints_factory import X, Y

folder, epochs, ending = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
keras = tf.keras
keras.utils.set_random_seed(0)
model = checkpoints_factory.build()
saving = keras.callbacks.ModelCheckpoint(str(folder / f"model-{{epoch:02d}}{ending}"))
model.fit(X, Y, batch_size=8, epochs=epochs, verbose=0, callbacks=[saving])
expected = {}
for path in sorted(folder.glob(f"model-??{ending}")):
    saved = keras.models.load_model(path)
    expected[path.stem] = {
        "predictions": saved.predict(X, batch_size=8, verbose=0)[:, 0].tolist(),
        "metrics": saved.evaluate(X, Y, batch_size=8, verbose=0, return_dict=True),
    }
print(json.dumps(expected))
