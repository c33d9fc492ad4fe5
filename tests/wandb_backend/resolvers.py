"""Executes GraphQL documents: the root fields of `schema.graphql`, over the objects of `State`."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import graphql

from .artifacts import Artifact, Collection
from .common import b64_to_hex, connection
from .runs import Project, Run
from .state import DEFAULT_ENTITY, State
from .storage import RejectedError

SCHEMA = graphql.build_schema(Path(__file__).with_name("schema.graphql").read_text())
FEATURES = ["TOTAL_COUNT_IN_FILE_CONNECTION"]
VIEWER = {
    "id": DEFAULT_ENTITY,
    "entity": DEFAULT_ENTITY,
    "name": DEFAULT_ENTITY,
    "username": DEFAULT_ENTITY,
    "email": f"{DEFAULT_ENTITY}@localhost",
    "admin": False,
    "flags": "{}",
    "teams": connection([]),
    "api_keys": connection([]),
}
# What `upsertBucket` may change of a run: the input's key, and the attribute.
RUN_FIELDS = {
    "displayName": "display_name",
    "config": "config",
    "tags": "tags",
    "groupName": "group",
    "jobType": "job_type",
    "notes": "notes",
}


class Root:
    """The root fields of queries and mutations."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.viewer = VIEWER
        self.server_info = {"features": [{"name": name, "is_enabled": True} for name in FEATURES]}

    # Queries.

    def entity(self, name: str) -> dict[str, Any]:
        return {"id": name, "name": name}

    def project(self, name: str, entity_name: str | None = None) -> Project | None:
        return self.state.project(entity_name, name)

    model = project

    def artifact(self, id: str) -> Artifact | None:
        return self.state.artifacts.get(id)

    def client_id_mapping(self, client_id: str) -> dict[str, str] | None:
        found = self.state.artifact_ids.get(client_id)
        return found and {"server_id": found}

    # Mutations: runs.

    def upsert_bucket(self, input: dict[str, Any]) -> dict[str, Any]:
        project = self.state.make_project(input.get("entityName"), input["modelName"])
        run = project.run(input["name"])
        inserted = run is None
        if run is None:
            run = Run(project, input["name"], VIEWER, display_name=input["name"])
            project.runs_by_name[run.name] = run
        run.state = "running"
        for key, attribute in RUN_FIELDS.items():
            if input.get(key) is not None:
                setattr(run, attribute, input[key])
        return {"bucket": run, "inserted": inserted}

    def create_run_files(self, input: dict[str, Any]) -> dict[str, Any]:
        run = self._run(input)
        files = []
        for name in input["files"]:
            url = self.state.storage.grant(f"runs/{run.path}/{name}")
            files.append({"name": name, "upload_url": url})
        return {"run_id": run.id, "upload_headers": [], "files": files}

    # Mutations: artifacts, in the order of an upload.

    def create_artifact(self, input: dict[str, Any]) -> dict[str, Artifact]:
        """Creates an artifact, or finds the version that has the same content already."""
        collection = self._collection(input)
        aliases = [alias["alias"] for alias in input.get("aliases") or []]
        client_id = input["clientID"]
        if same := collection.with_digest(input["digest"]):
            same.take_aliases(aliases)
            self.state.artifact_ids[client_id] = same.id
            return {"artifact": same}
        if client_id in self.state.artifact_ids:
            # The client did not get the answer to its first try.
            return {"artifact": self.state.artifacts[self.state.artifact_ids[client_id]]}
        run = self._run(input) if input.get("runName") else None
        artifact = Artifact(
            collection,
            input["digest"],
            run,
            aliases,
            client_id,
            metadata=input.get("metadata"),
            description=input.get("description"),
            history_step=input.get("historyStep"),
        )
        self.state.add(artifact)
        if run:
            run.outputs.append(artifact)
        return {"artifact": artifact}

    def create_artifact_manifest(self, input: dict[str, Any]) -> dict[str, Any]:
        artifact = self._artifact(input)
        url = self.state.storage.grant(artifact.manifest_path, input.get("digest"))
        file = {"id": artifact.id, "upload_url": url, "upload_headers": []}
        return {"artifact_manifest": {"id": artifact.id, "file": file}}

    def create_artifact_files(self, input: dict[str, Any]) -> dict[str, Any]:
        return {"files": connection(map(self._artifact_file, input["artifactFiles"]))}

    def _artifact_file(self, spec: dict[str, Any]) -> dict[str, Any]:
        """Says where to upload a file: nowhere, if a version of the collection brought it."""
        artifact = self._artifact(spec)
        blob = artifact.artifact_sequence.blob(b64_to_hex(spec["md5"]))
        held = self.state.storage.holds(blob)
        return {
            "storage_path": blob,
            "upload_url": None if held else self.state.storage.grant(blob, spec["md5"]),
            "upload_headers": [],
            "artifact": artifact,
        }

    def commit_artifact(self, input: dict[str, Any]) -> dict[str, Artifact]:
        artifact = self._artifact(input)
        self.state.commit(artifact)
        return {"artifact": artifact}

    def use_artifact(self, input: dict[str, Any]) -> dict[str, Artifact]:
        artifact, run = self._artifact(input), self._run(input)
        if artifact not in run.inputs:
            run.inputs.append(artifact)
            artifact.users.append(run)
        return {"artifact": artifact}

    # Mutations: changes to a version.

    def update_artifact(self, input: dict[str, Any]) -> dict[str, Artifact]:
        artifact = self._artifact(input)
        for key in ("description", "metadata"):
            if input.get(key) is not None:
                setattr(artifact, key, input[key])
        return {"artifact": artifact}

    def add_aliases(self, input: dict[str, Any]) -> dict[str, bool]:
        self._artifact(input).take_aliases([alias["alias"] for alias in input["aliases"]])
        return {"success": True}

    def delete_aliases(self, input: dict[str, Any]) -> dict[str, bool]:
        self._artifact(input).drop_aliases([alias["alias"] for alias in input["aliases"]])
        return {"success": True}

    # Lookups.

    def _run(self, input: dict[str, Any]) -> Run:
        return self.state.run(input.get("entityName"), input["projectName"], input["runName"])

    def _artifact(self, input: dict[str, Any]) -> Artifact:
        try:
            return self.state.artifacts[input["artifactID"]]
        except KeyError:
            raise RejectedError(f"no artifact {input['artifactID']}") from None

    def _collection(self, input: dict[str, Any]) -> Collection:
        # An artifact that is logged once more comes with its version: `name:v0`.
        name = input["artifactCollectionName"].partition(":")[0]
        type_name = input["artifactTypeName"]
        project = self.state.make_project(input.get("entityName"), input["projectName"])
        fresh = Collection(project, name, type_name)
        collection = project.collections.setdefault(name, fresh)
        if collection.type != type_name:
            raise RejectedError(f"{name} has the type {collection.type}, not {type_name}")
        return collection


@cache
def parse(query: str) -> graphql.DocumentNode:
    return graphql.parse(query)


def operation_name(query: str) -> str:
    """The name of a document's operation, which not every client version sends along."""
    operation = graphql.get_operation_ast(parse(query))
    return operation.name.value if operation and operation.name else "anonymous"


def execute(state: State, query: str, variables: dict[str, Any]) -> dict[str, Any]:
    """Answers a document; what was refused is an entry of the state's `rejected`, too."""
    with state.lock:
        result = graphql.execute(
            SCHEMA, parse(query), Root(state), variable_values=variables, field_resolver=_resolve
        )
    errors = [error.message for error in result.errors or []]
    if not errors and not result.data:
        # Unknown fields are left out of the answer. If there is nothing else, say so.
        errors = ["this server answers none of the root fields"]
    for message in errors:
        state.storage.reject(operation_name(query), message)
    return {"data": None if errors else result.data} | (
        {"errors": [{"message": message} for message in errors]} if errors else {}
    )


def _resolve(source: Any, info: graphql.GraphQLResolveInfo, **arguments: Any) -> Any:
    """A field is the key or attribute of its name in snake case, which is called if it can be."""
    name = _snake(info.field_name)
    value = source.get(name) if isinstance(source, dict) else getattr(source, name, None)
    if callable(value):
        return value(**{_snake(key): argument for key, argument in arguments.items()})
    return value


@cache
def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z\d])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
