"""Loads the saved models, and prints how far their predictions are from the logged ones."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from replicas_model import VALIDATION, keras

directory = Path(sys.argv[1])
far: dict[str, float] = {}
for path in sorted(directory.glob("*.keras")):
    saved = keras.models.load_model(path).predict(VALIDATION, verbose=0)
    logged = np.load(directory / f"logged-{path.stem}.npy")
    far[f"logged in epoch {path.stem}"] = float(np.abs(saved - logged).max())
for path in sorted(directory.glob("own-*.npy")):  # of the last epoch
    far[f"model.predict of rank {path.stem[4:]}"] = float(np.abs(saved - np.load(path)).max())
print(json.dumps(far))
