"""What is refused, and in which words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from disteval.arguments import check_choice, check_positive
from disteval.errors import DataError, DistEvalError


def test_a_choice_is_one_of_those_there_are() -> None:
    check_choice("verbose", 0, ("auto", 0, 1))
    with pytest.raises(DistEvalError) as info:
        check_choice("verbose", "loud", ("auto", 0, 1))
    assert (
        str(info.value)
        == "Unknown `verbose`. Received: verbose='loud'. Expected one of 'auto', 0, 1."
    )


@pytest.mark.parametrize("value", [1, 7, np.int64(3)])
def test_positive_integers(value: Any) -> None:
    check_positive("n", value)
    check_positive("n", value, float)


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "1", None, np.float32(2), float("nan")])
def test_what_is_no_positive_integer(value: Any) -> None:
    with pytest.raises(DistEvalError) as info:
        check_positive("n", value)
    message = f"`n` must be positive. Received: n={value!r}. Expected: a positive integer."
    assert str(info.value) == message


@pytest.mark.parametrize("value", [0.0, -0.5, False, "1", None, float("nan")])
def test_what_is_no_positive_number(value: Any) -> None:
    with pytest.raises(DataError, match="Expected: a positive number"):
        check_positive("n", value, float, DataError)
