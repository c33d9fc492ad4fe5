"""Tables on this machine, as columns."""

from __future__ import annotations

from pathlib import Path

import pytest

from disteval.errors import DistEvalError
from disteval.report.stored_tables import read_json, truth_of


def test_rows_of_the_ground_truth_by_the_foreign_key_or_in_order() -> None:
    data = {"label": ["a", "b", "c"]}
    assert truth_of({"score": [1, 2]}, [2, 0], data) == {"label": ["c", "a"]}
    assert truth_of({"score": [1, 2, 3]}, None, data) == data
    assert truth_of({"score": [1, 2]}, None, data) == {}, "it is not known which two"


def test_a_damaged_or_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DistEvalError, match="no longer on this machine"):
        read_json(tmp_path / "gone.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(DistEvalError, match=r"bad\.json is damaged: Expecting"):
        read_json(tmp_path / "bad.json")
