"""What a run says of its versions beside their tables, sound or damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from disteval.report.read import StoredVersion
from disteval.report.slices import encode_slices, slice_names
from disteval.report.stored_metadata import checked_metadata, read_class_names, read_confusion

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
PART = {"slice": "light", "value": "dark", "samples": 3, "metrics": {"loss": [0.5]}}


def test_what_is_sound_is_kept() -> None:
    known = {"epoch": 3, "step": 30, "samples": 5, "set": "night", "logs": {"loss": 0.5}}
    known |= {"metrics": {}, "slices": [PART]}
    assert checked_metadata({**known, "replicas": 2}) == known


@given(st.dictionaries(st.sampled_from(["epoch", "samples", "set", "logs", "slices"]), JSON) | JSON)
def test_any_metadata_can_be_used(metadata: Any) -> None:
    known = checked_metadata(metadata)
    version = StoredVersion([], known, {}, {})
    encode_slices(version)
    slice_names(version)
    assert known.get("samples", 0) >= known.get("samples", 0)


@given(st.fixed_dictionaries({key: st.just(PART[key]) | JSON for key in PART}))
def test_any_slice_can_be_used(part: Any) -> None:
    encode_slices(StoredVersion([], checked_metadata({"slices": [part]}), {}, {}))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"data": [[1, 2]]}', '{"data": [[[], 2, 3]]}'])
def test_a_damaged_confusion_matrix_is_left_out(
    content: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "table.json").write_text(content)
    assert read_confusion(tmp_path, "table.json") == []
    assert "left out" in caplog.text


def test_a_confusion_matrix_outside_of_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "private.json").write_text(json.dumps({"data": [["a", "b", 3]]}))
    (tmp_path / "files").mkdir()
    assert read_confusion(tmp_path, "private.json") == [["a", "b", 3]]
    assert read_confusion(tmp_path / "files", "../private.json") == []
    assert "is outside of the run" in caplog.text
    assert read_confusion(tmp_path / "files", "gone.json") == []


def test_names_of_classes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "classes.json"
    path.write_text(json.dumps({"class_set": [{"id": 1, "name": "cat"}]}))
    assert read_class_names(path) == {1: "cat"}
    path.write_text(json.dumps({"class_set": [{"name": "cat"}]}))
    assert read_class_names(path) == {}
    assert "names of the classes are left out" in caplog.text
