"""`disteval.evaluate` gives what `model.evaluate` of the saved model gives on one device."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

import disteval
import replicas
from metric_models import CASES, Case, assert_equal, first, keras_metrics, summed_in_float64

strategy = replicas.start()
backend = disteval.get_backend(replicas.BACKEND)
keras = tf.keras
IS_KERAS_2 = not hasattr(keras, "StatelessScope")
directory = Path(sys.argv[1])
# All for one model, and some of them for the others.
SIZES = [*range(1, 41), 97, 101, 300]
SOME_SIZES = [1, 7, 40, 101]


def build(case: Case) -> Any:
    """Returns a model with the same weights on all replicas, and statistics that differ."""
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = case.build(keras)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            random = np.random.default_rng(backend.rank)
            for variable in layer.non_trainable_variables:
                value = variable if isinstance(variable, tf.Variable) else variable.value
                for part in strategy.experimental_local_results(value):
                    part.assign(random.uniform(0.5, 1.5, part.shape))
    return model


def saved(model: Any, case: Case) -> Any:
    """Returns the model that the chief would save, on one device."""
    path = str(directory / "model.weights.h5")
    model.save_weights(path)
    single = case.build(keras)
    single.load_weights(path)
    return single


def evaluated(model: Any, data: Any, **options: Any) -> dict[str, Any]:
    """Returns the metrics, which are the same floats on all ranks."""
    got = disteval.evaluate(model, data, **options)
    with backend.together("comparing") as agreement:
        agreement.report = repr(got)  # to the last digit, and with NaN equal to itself
    assert set(agreement.reports) == {repr(got)}, agreement.reports
    return got


def differences(
    model: Any, single: Any, data: Any, batch_size: int, *, exactly: bool
) -> tuple[float, float]:
    """Returns how far the metrics are from those of Keras on the chief, and from exact sums."""
    got = evaluated(model, data, batch_size=batch_size)
    if not backend.is_chief:
        return 0.0, 0.0
    keras_sums = assert_equal(got, keras_metrics(single, data, batch_size), tolerance=1e-6)
    if not exactly:
        return keras_sums, 0.0
    return keras_sums, assert_equal(got, summed_in_float64(single, data, batch_size))


def every_model() -> None:
    for name, case in CASES.items():
        if name == "summed loss" and strategy.num_replicas_in_sync > 1 and IS_KERAS_2:
            continue  # refused, since Keras 2 multiplies it by the number of replicas
        model = build(case)
        single = saved(model, case) if backend.is_chief else None
        found = [
            differences(
                model, single, first(case.data, count), batch_size, exactly=count in SOME_SIZES
            )
            for batch_size in (1, 3, 8, 64)
            for count in (SIZES if name == "classifier" else SOME_SIZES)
        ]
        keras_sums, exact_sums = (max(column) for column in zip(*found, strict=True))
        print(f"{name}: {keras_sums:.2g} from Keras, {exact_sums:.2g} from exact sums")


every_model()
