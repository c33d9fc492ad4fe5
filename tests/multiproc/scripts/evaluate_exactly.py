"""`disteval.evaluate` gives what `model.evaluate` of the saved model gives on one device."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

import disteval
import replicas
from metric_models import CASES, Case, Sums, assert_equal, first, keras_metrics
from sample_data import Batches, striped

strategy = replicas.start()
backend = disteval.get_backend(replicas.BACKEND)
keras = tf.keras
IS_KERAS_2 = not hasattr(keras, "StatelessScope")
directory = Path(sys.argv[1])
# All for one model, and some of them for the others.
SIZES = [*range(1, 21), 31, 32, 33, 40, 97, 101, 300]
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
    """Returns the model that this rank would save, on one device.

    Saving is a collective of the workers of a MultiWorkerMirroredStrategy.
    """
    path = str(directory / f"rank_{backend.rank}.weights.h5")
    model.save_weights(path)
    single = case.build(keras)
    single.load_weights(path)
    return single


def evaluated(model: Any, data: Any, **options: Any) -> dict[str, Any]:
    """Returns the metrics, which are the same floats on all ranks."""
    got = disteval.evaluate(model, data, **options)
    of_model = disteval.get_backend(replicas.BACKEND, model=model)
    with of_model.together("comparing") as agreement:
        agreement.report = repr(got)  # to the last digit, and with NaN equal to itself
    assert set(agreement.reports) == {repr(got)}, agreement.reports
    return got


def every_model() -> None:
    for name, case in CASES.items():
        if "--some" in sys.argv and name not in ("classifier", "two outputs"):
            continue
        if name == "summed loss" and strategy.num_replicas_in_sync > 1 and IS_KERAS_2:
            continue  # refused, since Keras 2 multiplies it by the number of replicas
        model = build(case)
        single = saved(model, case)
        for batch_size in (1, 3, 8, 64):
            several = name == "classifier" and "--some" not in sys.argv
            sizes = SIZES if several else SOME_SIZES
            found = {
                count: evaluated(model, first(case.data, count), batch_size=batch_size)
                for count in sizes
            }
            if backend.is_chief:
                compare(name, single, case.data, batch_size, found)


def compare(
    name: str, single: Any, data: Any, batch_size: int, found: dict[int, dict[str, Any]]
) -> None:
    """Compares with the saved model on one device: with `evaluate`, and with exact sums."""
    of_keras = [
        assert_equal(found[count], keras_metrics(single, first(data, count), batch_size), 1e-6)
        for count in (SIZES if "--all" in sys.argv else SOME_SIZES)
        if count in found
    ]
    sums = Sums(single, data, batch_size)
    exact = [assert_equal(got, sums.first(count)) for count, got in found.items()]
    print(f"{name}, {batch_size}: {max(of_keras):.2g} from Keras, {max(exact):.2g} from exact sums")


def every_source() -> None:
    data = first(CASES["classifier"].data, 101)
    dataset = tf.data.Dataset.from_tensor_slices(data)
    sources = {
        "dataset": dataset,
        "batched dataset": dataset.batch(11),
        "PyDataset": Batches(data, 11),
        "dataset of unknown length": dataset.filter(lambda *sample: True),
        "sharded": disteval.sharded(data, lambda elements: elements),
        "sharded batches": disteval.sharded(dataset, lambda elements: elements.batch(11)),
    }
    model = build(CASES["classifier"])
    single = saved(model, CASES["classifier"])
    for source in sources.values():
        for count in (5, 101):
            got = evaluated(model, source, batch_size=11, num_samples=count)
            if backend.is_chief:
                assert_equal(got, keras_metrics(single, first(data, count), 11), 1e-6)
    # The batches of a function source depend on the number of ranks. Means over samples do not.
    got = evaluated(model, striped(data), batch_size=11)
    if backend.is_chief:
        want = keras_metrics(single, data, 11)
        for name in ("accuracy", "auc", "f1"):
            assert abs(got[name] - want[name]) < 1e-6


def in_the_scope_of_the_strategy() -> None:
    """There, Keras would multiply the loss by the number of replicas."""
    case = CASES["custom loss" if IS_KERAS_2 else "summed loss"]
    model = build(case)
    single = saved(model, case)
    with strategy.scope():
        got = evaluated(model, case.data, batch_size=8)
    if backend.is_chief:
        assert_equal(got, keras_metrics(single, case.data, 8), 1e-6)


in_the_scope_of_the_strategy()
every_source()
every_model()
