"""Models of checkpoints: the same one with other weights, where that is possible."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from disteval.checkpoints import models
from disteval.checkpoints.files import Checkpoint
from disteval.checkpoints.models import Models
from disteval.errors import DistEvalError
from unit.checkpoints.helpers import X, build, saved

SINGLE = tf.distribute.get_strategy()


def same(model: Any, other: Any) -> None:
    np.testing.assert_allclose(model.predict(X, verbose=0), other.predict(X, verbose=0), atol=1e-6)


def test_a_model_is_kept_while_its_configuration_stays(tmp_path: Path) -> None:
    loader, loaded = Models(None, SINGLE), []
    for units in (1, 2):
        model = build(units)
        for i in range(2):
            path = tmp_path / f"{units}-{i}.keras"
            model.set_weights([weight + i for weight in model.get_weights()])
            model.save(path)
            loaded.append(loader.load(Checkpoint.of(path)))
            same(loaded[-1], model)
            assert loaded[-1].compiled
    assert loaded[0] is loaded[1]
    assert loaded[1] is not loaded[2]
    assert loaded[2] is loaded[3]


def test_another_loss_is_another_configuration(tmp_path: Path) -> None:
    model, loader = build(), Models(None, SINGLE)
    losses = []
    for loss in ("mse", "mae"):
        model.compile("sgd", loss)
        model.save(tmp_path / f"{loss}.keras")
        loaded = loader.load(Checkpoint.of(tmp_path / f"{loss}.keras"))
        losses.append(loaded.loss)
    assert losses == ["mse", "mae"]


@pytest.mark.parametrize("ending", [".weights.h5", ".keras"])
def test_weights_go_into_the_model_that_the_factory_builds(ending: str, tmp_path: Path) -> None:
    loader, loaded = Models(build, SINGLE), []
    for i in range(2):
        path = tmp_path / f"{i}{ending}"
        original = saved(path)
        loaded.append(loader.load(Checkpoint.of(path)))
        same(loaded[-1], original)
    assert loaded[0] is loaded[1]


def test_weights_without_a_model(tmp_path: Path) -> None:
    saved(tmp_path / "a.weights.h5")
    with pytest.raises(DistEvalError, match=r"\(callback, build\)"):
        Models(None, SINGLE).load(Checkpoint.of(tmp_path / "a.weights.h5"))


def test_what_is_built_has_to_be_a_model(tmp_path: Path) -> None:
    saved(tmp_path / "a.weights.h5")
    with pytest.raises(DistEvalError, match="not a Keras model"):
        Models(lambda: 3, SINGLE).load(Checkpoint.of(tmp_path / "a.weights.h5"))


def test_a_file_that_is_not_visible_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "VISIBLE_SECONDS", 0.0)
    monkeypatch.setattr(models, "POLL_SECONDS", 0.0)
    path = tmp_path / "a.keras"
    saved(path)
    larger = Checkpoint(path, Checkpoint.of(path).size + 1, 0)
    with pytest.raises(DistEvalError, match=r"another size than the .* bytes that rank 0 sees"):
        Models(None, SINGLE).load(larger)
    path.unlink()
    with pytest.raises(DistEvalError, match=r"cannot be read here: .*No such file"):
        Models(None, SINGLE).load(larger)
