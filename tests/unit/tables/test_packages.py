"""Packages hold an artifact on disk as it was, and half a package is none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import wandb
from wandb.sdk.artifacts.staging import get_staging_dir

from disteval.tables import packages
from disteval.tables.packages import Package


@pytest.fixture(autouse=True)
def _own_staging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    yield
    # W&B reads its settings once.
    wandb.teardown()


def make_artifact(tmp_path: Path) -> wandb.Artifact:
    """An artifact with a table, a file of the user and one that the user may change."""
    artifact = wandb.Artifact("pred", "evaluation", metadata={"epoch": 3})
    artifact.add(wandb.Table(columns=["a"], data=[[1], [2]]), "eval_data")
    for policy in ("mutable", "immutable"):
        path = tmp_path / f"{policy}.txt"
        path.write_text(policy)
        artifact.add_file(str(path), f"files/{policy}.txt", policy=policy)
    artifact.finalize()
    return artifact


def contents(artifact: wandb.Artifact) -> dict[str, str]:
    return {path: entry.digest for path, entry in artifact.manifest.entries.items()}


def test_an_artifact_is_made_again_as_it_was(tmp_path: Path) -> None:
    artifact = make_artifact(tmp_path)
    expected = contents(artifact)
    Package.write(tmp_path / "run/000001-epoch_3", artifact, aliases=["epoch_3", "latest"])
    (package,) = packages.find(tmp_path / "run")
    again = package.artifact(None)
    assert contents(again) == expected
    assert again.digest == artifact.digest
    assert (again.name, again.type, again.metadata) == ("pred", "evaluation", {"epoch": 3})
    assert package.description["aliases"] == ["epoch_3", "latest"]
    # Uploaded from where they are.
    assert all(
        Path(entry.local_path).is_relative_to(package.directory)
        for entry in again.manifest.entries.values()
    )


def test_the_users_files_stay_and_the_copies_of_w_and_b_go(tmp_path: Path) -> None:
    artifact = make_artifact(tmp_path)
    staged = [Path(entry.local_path) for entry in artifact.manifest.entries.values()]
    staged = [path for path in staged if path.is_relative_to(get_staging_dir())]
    assert len(staged) == 2
    package = Package.write(tmp_path / "package", artifact, aliases=[])
    assert not any(path.exists() for path in staged)
    package.finish()
    assert (tmp_path / "mutable.txt").exists()
    assert (tmp_path / "immutable.txt").exists()
    assert not (tmp_path / "package").exists()


def test_half_a_package_is_none(tmp_path: Path) -> None:
    package = Package.write(tmp_path / "1/package", make_artifact(tmp_path), aliases=[])
    description = package.directory / packages.DESCRIPTION
    # Killed while the description was written, and before.
    description.rename(description.with_name("package.json.partial"))
    (tmp_path / "2/files").mkdir(parents=True)
    assert list(packages.find(tmp_path)) == []


def test_packages_are_found_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        name = packages.directory_name(number, "pred", [f"epoch_{number}"])
        Package.write(tmp_path / name, wandb.Artifact("pred", "evaluation"), aliases=[])
    names = [package.name for package in packages.find(tmp_path)]
    assert names == ["000001-epoch_1", "000002-epoch_2", "000010-epoch_10"]


@pytest.mark.parametrize(
    ("aliases", "expected"),
    [
        (["latest", "epoch_3", "best"], "000007-epoch_3"),
        (["latest"], "000007-val"),
        ([], "000007-val"),
        (["../a b/ü"], "000007-.._a_b__"),
        (["x" * 300], f"000007-{'x' * 64}"),
    ],
)
def test_names_of_directories(aliases: list[str], expected: str) -> None:
    assert packages.directory_name(7, "val", aliases) == expected


def test_dropped_aliases_are_dropped_on_disk(tmp_path: Path) -> None:
    package = Package.write(
        tmp_path / "package", make_artifact(tmp_path), aliases=["latest", "epoch_1", "best"]
    )
    package.drop_aliases({"latest", "best"})
    assert Package(package.directory).description["aliases"] == ["epoch_1"]


def test_references_to_elsewhere_are_kept(tmp_path: Path) -> None:
    artifact = wandb.Artifact("pred", "evaluation")
    (entry,) = artifact.add_reference("https://example.invalid/file", "file", checksum=False)
    package = Package.write(tmp_path / "package", artifact, aliases=[])
    (again,) = package.artifact(None).manifest.entries.values()
    assert (again.path, again.ref, again.digest) == ("file", entry.ref, entry.digest)


def test_finished_packages_stay_where_they_are_to_be_kept(tmp_path: Path) -> None:
    package = Package.write(tmp_path / "000001-epoch_3", make_artifact(tmp_path), aliases=[])
    (tmp_path / packages.KEPT).mkdir()
    package.finish()
    assert Package(tmp_path / packages.KEPT / "000001-epoch_3").description["name"] == "pred"
    assert list(packages.find(tmp_path)) == []


def test_links_and_whatever_is_no_file_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    package = Package.write(tmp_path / "package", make_artifact(tmp_path), aliases=[])
    sound = set(package.files())
    private = tmp_path / "private"
    private.mkdir()
    (private / "key").write_text("secret")
    inside = package.directory / "files"
    (inside / "key").symlink_to(private / "key")
    (inside / "home").symlink_to(private)
    os.mkfifo(inside / "pipe")
    assert set(package.files()) == sound
    assert set(contents(package.artifact(None))) == sound
    for name in ("key", "home", "pipe"):
        assert f"{inside / name} is no regular file" in caplog.text
    inside.rename(tmp_path / "moved")
    inside.symlink_to(private)
    assert package.files() == {}


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"name": 3}', b'{"name": "a"}',
     b'{"name": "a", "type": "b", "metadata": {}, "aliases": [], "uses": true, "data": null, '
     b'"references": [["a", "b"]], "foreign": []}'],
)  # fmt: skip
def test_a_damaged_package_is_named_and_the_others_are_found(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in (1, 2):
        Package.write(tmp_path / f"run/{number}", make_artifact(tmp_path), aliases=[])
    damaged = tmp_path / "run/1" / packages.DESCRIPTION
    damaged.write_bytes(content)
    assert [package.name for package in packages.find(tmp_path / "run")] == ["2"]
    assert str(damaged) in caplog.text
    found: list[str] = []
    list(packages.find(tmp_path / "run", lambda error: found.append(str(error))))
    assert len(found) == 1
    assert "\n" not in found[0]
