"""Single requests: what a client repeats, and what no sound client sends and the server refuses."""

import base64
import hashlib
import json
from typing import Any
from urllib.error import HTTPError

import pytest

from .fixture import WandbBackend
from .running import request

CONTENT = b"some content"


def md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content).digest()).decode()


def execute(backend: WandbBackend, query: str, **variables: Any) -> dict[str, Any]:
    body = json.dumps({"query": query, "variables": variables}).encode()
    return json.loads(request("POST", f"{backend.url}/graphql", body))


def mutate(backend: WandbBackend, field: str, selection: str, **input: Any) -> Any:
    query = f"mutation Raw($input: Input!) {{ answer: {field}(input: $input) {{ {selection} }} }}"
    return execute(backend, query, input={"entityName": "e", "projectName": "p", **input})


def create(backend: WandbBackend, name: str) -> str:
    """Creates an artifact with the client ID `name`."""
    answer = mutate(
        backend,
        "createArtifact",
        "artifact { id }",
        artifactTypeName="t",
        artifactCollectionName=name,
        digest=name,
        clientID=name,
    )
    return answer["data"]["answer"]["artifact"]["id"]


def upload(backend: WandbBackend, artifact: str, content: bytes, announced: bytes) -> None:
    answer = mutate(
        backend,
        "createArtifactFiles",
        "files { edges { node { uploadUrl } } }",
        artifactFiles=[{"artifactID": artifact, "name": "f", "md5": md5(announced)}],
    )
    (edge,) = answer["data"]["answer"]["files"]["edges"]
    request("PUT", edge["node"]["uploadUrl"], content)


def commit(backend: WandbBackend, artifact: str, **contents: dict[str, Any]) -> list[str]:
    """Uploads a manifest, commits, and returns what was wrong with that."""
    manifest = json.dumps({"version": 1, "contents": contents}).encode()
    answer = mutate(
        backend,
        "createArtifactManifest",
        "artifactManifest { file { uploadUrl } }",
        artifactID=artifact,
        digest=md5(manifest),
    )
    request("PUT", answer["data"]["answer"]["artifactManifest"]["file"]["uploadUrl"], manifest)
    answer = mutate(backend, "commitArtifact", "artifact { id }", artifactID=artifact)
    return [error["message"] for error in answer.get("errors", [])]


def reference(artifact: str, path: str) -> dict[str, str]:
    hex_id = base64.b64decode(artifact).hex()
    return {"digest": md5(CONTENT), "ref": f"wandb-artifact://{hex_id}/{path}"}


def test_repeated_message_counts_once(wandb_backend: WandbBackend) -> None:
    mutate(wandb_backend, "upsertBucket", "inserted", modelName="p", name="r")
    for step in (0, 0, 1):
        lines = {"offset": step, "content": [json.dumps({"_step": step})]}
        body = json.dumps({"files": {"wandb-history.jsonl": lines}}).encode()
        request("POST", f"{wandb_backend.url}/files/e/p/r/file_stream", body)
    run = wandb_backend.state()["runs"]["e/p/r"]
    assert run["history"] == [{"_step": 0}, {"_step": 1}]
    assert run["state"] == "running"


def test_sound_upload_is_accepted(wandb_backend: WandbBackend) -> None:
    artifact = create(wandb_backend, "sound")
    upload(wandb_backend, artifact, CONTENT, CONTENT)
    assert commit(wandb_backend, artifact, f={"digest": md5(CONTENT)}) == []
    assert wandb_backend.state()["rejected"] == []
    (stored,) = (wandb_backend.uploads / "artifacts").rglob(hashlib.md5(CONTENT).hexdigest())
    assert stored.read_bytes() == CONTENT


def test_other_content_than_announced_is_refused(wandb_backend: WandbBackend) -> None:
    artifact = create(wandb_backend, "broken")
    with pytest.raises(HTTPError, match="400"):
        upload(wandb_backend, artifact, CONTENT[:-1], CONTENT)
    (problem,) = commit(wandb_backend, artifact, f={"digest": md5(CONTENT)})
    assert "lacks ['f']" in problem
    state = wandb_backend.state()
    assert [rejection["what"] for rejection in state["rejected"]] == ["upload", "Raw"]
    assert [a["state"] for a in state["artifacts"]] == ["PENDING"]


@pytest.mark.parametrize("path", ["storage/runs/a/b/c/d", "storage/../../escaped"])
def test_upload_without_a_granted_url_is_refused(wandb_backend: WandbBackend, path: str) -> None:
    with pytest.raises(HTTPError, match="400"):
        request("PUT", f"{wandb_backend.url}/{path}", CONTENT)
    assert wandb_backend.state()["uploads"] == {}


def test_commit_without_a_manifest_is_refused(wandb_backend: WandbBackend) -> None:
    artifact = create(wandb_backend, "empty")
    answer = mutate(wandb_backend, "commitArtifact", "artifact { id }", artifactID=artifact)
    assert "no manifest" in answer["errors"][0]["message"]


def test_reference_may_be_committed_before_its_target(wandb_backend: WandbBackend) -> None:
    target, early, late = (create(wandb_backend, name) for name in ("target", "early", "late"))
    query = 'query Raw { clientIDMapping(clientID: "target") { serverID } }'
    assert execute(wandb_backend, query)["data"]["clientIDMapping"] == {"serverID": target}
    assert commit(wandb_backend, early, f=reference(target, "f"), g=reference(target, "g")) == []
    upload(wandb_backend, target, CONTENT, CONTENT)
    assert commit(wandb_backend, target, f={"digest": md5(CONTENT)}) == []
    (problem,) = commit(wandb_backend, late, f=reference(target, "f"), g=reference(target, "g"))
    assert "lacks ['g']" in problem
    dangling = {a["collection"]: a["dangling"] for a in wandb_backend.state()["artifacts"]}
    assert dangling == {"target": [], "early": ["g"], "late": []}


@pytest.mark.parametrize("uri", ["wandb-client-artifact://target/f", "wandb-artifact://00ff/f"])
def test_unresolved_reference_is_refused(wandb_backend: WandbBackend, uri: str) -> None:
    artifact = create(wandb_backend, "referring")
    (problem,) = commit(wandb_backend, artifact, f={"digest": md5(CONTENT), "ref": uri})
    assert "lacks ['f']" in problem


def test_unknown_fields_are_left_out(wandb_backend: WandbBackend) -> None:
    answer = execute(wandb_backend, "query Raw { viewer { entity shoeSize } horoscope }")
    assert answer == {"data": {"viewer": {"entity": "tester"}}}
    answer = execute(wandb_backend, "query Raw { horoscope }")
    assert "none of the root fields" in answer["errors"][0]["message"]
