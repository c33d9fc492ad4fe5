"""The artifacts that an online run kept on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from disteval.report.kept import read_packages
from unit.report.offline import log_part


def test_packages_refer_to_the_ground_truth_of_their_callback(folder: Path) -> None:
    directory, _ = log_part("20260101_120000", {0: [1, 2], 1: [3, 4]}, keep=True)
    other = directory / "disteval/01"
    (directory / "disteval/00").rename(other)
    log_part("20260102_120000", {5: [5, 6]}, keep=True)[0].joinpath("disteval/00").rename(
        directory / "disteval/00"
    )
    artifacts = read_packages(directory)
    assert [artifact.metadata.get("epoch") for artifact in artifacts] == [None, 5, None, 0, 1]
    assert [artifact.data for artifact in artifacts[1::2]] == [artifacts[0], artifacts[2]]
    for artifact in artifacts[1:2] + artifacts[3:]:
        assert artifact.lost == []
        assert artifact.files[artifact.references[0]].is_relative_to(directory)


def test_what_is_lost_with_the_ground_truth(folder: Path) -> None:
    directory, data = log_part("20260101_120000", {0: [1, 2]}, keep=True)
    (directory / "disteval/00/kept" / data.package / "package.json").unlink()
    (artifact,) = read_packages(directory)
    assert artifact.data is None
    assert artifact.lost == artifact.references != []


def test_a_damaged_package_is_left_out(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    directory, data = log_part("20260101_120000", {}, keep=True)
    package = directory / "disteval/00/kept" / data.package / "package.json"
    package.write_text(package.read_text()[:10])
    assert read_packages(directory) == []
    (warning,) = [record.getMessage() for record in caplog.records if "left out" in record.msg]
    assert str(package) in warning
