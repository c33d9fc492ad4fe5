"""What all engines share."""

from __future__ import annotations

import pytest
import tensorflow as tf

from disteval.backends.base import Backend, local_devices
from disteval.backends.local import LocalBackend


def test_the_interface_is_no_engine() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Backend("none", tf.distribute.get_strategy())  # type: ignore[abstract]


def test_each_replica_has_a_device() -> None:
    assert local_devices(tf.distribute.get_strategy()) == [None]
    (device,) = local_devices(tf.distribute.MirroredStrategy(["CPU:0"]))
    assert str(device).endswith("CPU:0")


def test_replicas_are_those_of_all_ranks() -> None:
    class Ranks(LocalBackend):
        size = 3

    backend = Ranks("three", tf.distribute.MirroredStrategy(["CPU:0"]))
    assert (backend.local_replicas, backend.num_replicas, backend.is_chief) == (1, 3, True)
