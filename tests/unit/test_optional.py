"""A missing optional dependency."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import disteval
from disteval.errors import DistEvalError

X, Y = np.zeros((4, 4), np.float32), np.zeros(4)


@pytest.mark.parametrize(
    ("module", "build"),
    [
        ("sklearn", lambda: disteval.ClassificationEval((X, Y))),
        ("sklearn", lambda: disteval.RegressionEval((X, Y))),
        ("faster_coco_eval", lambda: disteval.DetectionEval((X, Y), ["a"])),
        ("sacrebleu", lambda: disteval.TextEval((X, Y))),
    ],
)
def test_missing_dependency(
    module: str, build: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DistEvalError, match=r"pip install 'disteval\[tasks\]'") as caught:
        build()
    assert "\n" not in str(caught.value)
