"""Each private name of W&B is there, and means what `wandb_private` says."""

from __future__ import annotations

import weakref
from pathlib import Path

import numpy as np
import pytest
import wandb

from disteval.tables import wandb_private


def artifact_of(tmp_path: Path, name: str = "val") -> wandb.Artifact:
    """An artifact with one file."""
    path = tmp_path / "file.txt"
    path.write_text("text")
    artifact = wandb.Artifact(name, "dataset")
    artifact.add_file(str(path), "file.txt")
    return artifact


def test_records_hold_artifacts() -> None:
    record = wandb_private.Record()
    written = record.artifact
    written.name, written.type, written.client_id, written.metadata = "a", "b", "c", "{}"
    written.aliases.append("latest")
    written.manifest.manifest_file_path = "e"
    written.manifest.contents.add(path="f", digest="g", ref="h", local_path="i")
    record = wandb_private.Record.FromString(record.SerializeToString())
    assert record.HasField("artifact")
    read = record.artifact
    assert [read.name, read.type, read.client_id, read.metadata] == ["a", "b", "c", "{}"]
    assert list(read.aliases) == ["latest"]
    assert read.manifest.manifest_file_path == "e"
    (entry,) = read.manifest.contents
    assert [entry.path, entry.digest, entry.ref, entry.local_path] == ["f", "g", "h", "i"]


def test_the_cache_is_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path))
    assert tmp_path in wandb_private.artifacts_cache_dir().parents


def test_the_client_id_names_an_artifact_in_references(run: wandb.Run, tmp_path: Path) -> None:
    data = artifact_of(tmp_path)
    assert wandb_private.client_id(data) != wandb_private.client_id(artifact_of(tmp_path))
    run.log_artifact(data)
    # W&B resolves the client ID itself here.
    pred = wandb.Artifact("pred", "evaluation")
    url = f"wandb-client-artifact://{wandb_private.client_id(data)}/file.txt"
    (entry,) = pred.add_reference(url, "file.txt")
    assert (entry.ref, entry.digest) == (url, data.manifest.entries["file.txt"].digest)


def test_a_forgotten_artifact_is_freed(tmp_path: Path) -> None:
    kept, forgotten = artifact_of(tmp_path), artifact_of(tmp_path)
    references = [weakref.ref(kept), weakref.ref(forgotten)]
    wandb_private.forget_instance(forgotten)
    wandb_private.forget_instance(forgotten)
    del kept, forgotten
    assert [reference() is None for reference in references] == [False, True]


def test_entries_make_the_same_artifact_again(tmp_path: Path) -> None:
    given = {"path": "there", "digest": "abc", "ref": "https://example.invalid/x", "size": 3}
    artifact = wandb.Artifact("pred", "evaluation")
    artifact.manifest.add_entry(wandb_private.ArtifactManifestEntry(**given, extra={"etag": 1}))
    (entry,) = artifact.manifest.entries.values()
    assert isinstance(entry, wandb_private.ArtifactManifestEntry)
    assert {name: getattr(entry, name) for name in given} == given
    assert entry.extra == {"etag": 1}


def test_teardown_comes_before_the_end_of_the_run(run: wandb.Run, tmp_path: Path) -> None:
    done = []

    def log_last() -> None:
        run.log_artifact(artifact_of(tmp_path))  # raises once the run is over
        done.append("logged")

    wandb_private.on_teardown(run, log_last)
    assert not done
    run.finish()
    assert done == ["logged"]


def test_copies_of_files_are_in_the_staging_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    (entry,) = artifact_of(tmp_path).manifest.entries.values()
    assert Path(entry.local_path).is_relative_to(wandb_private.staging_dir())


def test_the_size_of_an_image() -> None:
    image = wandb.Image(np.zeros((2, 5, 3), np.uint8))
    assert wandb_private.image_size(image) == image.image.size == (5, 2)


def test_the_masks_of_an_image() -> None:
    pixels, mask = np.zeros((2, 2, 3), np.uint8), {"mask_data": np.zeros((2, 2), np.uint8)}
    image = wandb.Image(pixels, masks={"truth": mask})
    masks = wandb_private.image_masks(image)
    assert set(masks) == {"truth"}
    again = wandb.Image(pixels, masks=masks | {"found": mask})
    assert wandb_private.image_masks(again)["truth"] is masks["truth"]
    assert wandb_private.image_masks(wandb.Image(pixels)) == {}


def test_media_lie_in_their_folder_until_they_are_logged() -> None:
    image = wandb.Image(np.zeros((2, 2), np.uint8))
    assert image._path is not None
    assert Path(image._path).is_relative_to(wandb_private.media_dir())
