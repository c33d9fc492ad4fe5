"""The packages that an online run kept, as artifacts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from disteval.errors import DistEvalError
from disteval.report.kept import read_packages
from unit.report.offline import keep_part


def test_packages_are_artifacts_in_order(tmp_path: Path) -> None:
    keep_part(tmp_path, {0: [0.1, 0.2], 1: [0.3, 0.4]})
    data, *predictions = read_packages(tmp_path)
    assert (data.name, data.type, data.data) == ("val", "dataset", None)
    assert [artifact.metadata["epoch"] for artifact in predictions] == [0, 1]
    assert all(artifact.data is data and not artifact.lost for artifact in predictions)
    table = json.loads(predictions[1].files["eval_data.table.json"].read_text())
    assert table["data"] == [[0.3], [0.4]]


def test_a_damaged_package_is_named(tmp_path: Path) -> None:
    keep_part(tmp_path, {0: [0.1, 0.2]})
    (path,) = tmp_path.rglob("*epoch_0/package.json")
    path.write_text(path.read_text()[:-5])
    with pytest.raises(DistEvalError, match=f"A kept table is damaged: {path}"):
        read_packages(tmp_path)
