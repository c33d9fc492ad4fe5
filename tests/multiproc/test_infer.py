"""What `infer` computes is the same on any number of replicas."""

from __future__ import annotations

import pytest

from multiproc.running import Launch, check, processes

LAUNCHES: list[Launch] = [("mirrored", 2), ("horovod", 3)]


@pytest.mark.parametrize("launch", LAUNCHES, ids=str)
def test_infer_gives_what_it_gives_batch_by_batch(launch: Launch) -> None:
    output = check("infer_examples.py", launch=launch)
    assert output.count("all equal") == processes(launch)


def test_texts_of_unequal_length_are_shared_evenly() -> None:
    assert check("infer_texts.py", launch=("horovod", 4)).count("shared evenly") == 4
