"""The job for Kubernetes, as far as it can be checked without a cluster.

A strict parser knows the fields of the MPI Operator's v2beta1 and of Kubernetes that the job uses,
and refuses any other. Other tests check what the operator and `mpirun` need in addition.
"""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

TOP = Path(__file__).resolve().parents[2]
TEXT, WHOLE, YES_NO = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}


class UniqueKeys(yaml.SafeLoader):
    """Refuses a mapping that names a key twice, as Kubernetes does and PyYAML does not."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"{keys} at line {node.start_mark.line + 1}"
        return super().construct_mapping(node, deep)


def fields(required: str = "", **properties: Any) -> dict[str, Any]:
    """Returns the schema of a mapping without any other fields."""
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


def listed(schema: Any) -> dict[str, Any]:
    return {"type": "array", "items": schema, "minItems": 1}


CONTAINER = fields(
    "name image",
    name=TEXT,
    image=TEXT,
    command=listed(TEXT),
    args=listed(TEXT),
    env=listed(fields("name", name=TEXT, value=TEXT)),
    volumeMounts=listed(fields("name mountPath", name=TEXT, mountPath=TEXT, readOnly=YES_NO)),
    readinessProbe=fields(tcpSocket=fields("port", port=WHOLE)),
    resources=fields(
        limits={"type": "object", "additionalProperties": {"type": ["string", "integer"]}}
    ),
)
SECRET = fields("secretName", secretName=TEXT, defaultMode=WHOLE, optional=YES_NO)
POD = fields(
    "containers",
    containers=listed(CONTAINER),
    volumes=listed(fields("name secret", name=TEXT, secret=SECRET)),
)
ROLE = fields(
    "replicas template", replicas=WHOLE, template=fields("spec", spec=POD), restartPolicy=TEXT
)
JOB = fields(
    "apiVersion kind metadata spec",
    apiVersion=TEXT,
    kind=TEXT,
    metadata=fields("name", name=TEXT),
    spec=fields(
        "mpiReplicaSpecs",
        slotsPerWorker=WHOLE,
        runLauncherAsWorker=YES_NO,
        launcherCreationPolicy={"enum": ["AtStartup", "WaitForWorkersReady"]},
        sshAuthMountPath=TEXT,
        mpiImplementation={"enum": ["OpenMPI", "Intel", "MPICH"]},
        runPolicy=fields(
            cleanPodPolicy={"enum": ["None", "Running", "All"]},
            backoffLimit=WHOLE,
            activeDeadlineSeconds=WHOLE,
            ttlSecondsAfterFinished=WHOLE,
        ),
        mpiReplicaSpecs=fields("Launcher Worker", Launcher=ROLE, Worker=ROLE),
    ),
)
PARSER = jsonschema.Draft202012Validator(JOB)


@pytest.fixture
def job() -> dict[str, Any]:
    return yaml.load((TOP / "launch/kubernetes/mpijob.yaml").read_text(), UniqueKeys)


def role(job: dict[str, Any], name: str) -> dict[str, Any]:
    """Returns the pod of a role."""
    return job["spec"]["mpiReplicaSpecs"][name]["template"]["spec"]


def container(job: dict[str, Any], name: str) -> dict[str, Any]:
    (only,) = role(job, name)["containers"]
    return only


def test_the_operator_knows_every_field(job: dict[str, Any]) -> None:
    assert (job["apiVersion"], job["kind"]) == ("kubeflow.org/v2beta1", "MPIJob")
    PARSER.validate(job)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "slotPerWorker"), 1),
        (("spec", "slotsPerWorker"), "one"),
        (("spec", "mpiReplicaSpecs", "Worker", "template", "spec", "volume"), []),
        (("spec", "mpiReplicaSpecs", "Worker", "template", "spec", "containers"), {}),
    ],
)
def test_the_parser_finds_mistakes(
    job: dict[str, Any], path: tuple[str, ...], value: object
) -> None:
    wrong = copy.deepcopy(job)
    *parents, last = path
    place = wrong
    for key in parents:
        place = place[key]
    place[last] = value
    with pytest.raises(jsonschema.ValidationError):
        PARSER.validate(wrong)


def test_there_are_as_many_ranks_as_slots(job: dict[str, Any]) -> None:
    spec, roles = job["spec"], job["spec"]["mpiReplicaSpecs"]
    assert roles.keys() == {"Launcher", "Worker"}
    assert roles["Launcher"]["replicas"] == 1
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", job["metadata"]["name"]), "a DNS label"
    pods = roles["Worker"]["replicas"] + bool(spec["runLauncherAsWorker"])
    args = container(job, "Launcher")["args"]
    assert int(args[args.index("-np") + 1]) == pods * spec["slotsPerWorker"]


def test_it_runs_what_is_in_the_image(job: dict[str, Any]) -> None:
    images = {container(job, name)["image"] for name in ("Launcher", "Worker")}
    assert len(images) == 1
    script = next(arg for arg in container(job, "Launcher")["args"] if arg.endswith(".py"))
    assert (TOP / script.removeprefix("/opt/disteval/")).exists()
    dockerfile = (TOP / "launch/kubernetes/Dockerfile").read_text()
    for source in re.findall(r"^COPY (.*) \S+$", dockerfile, re.MULTILINE):
        assert all((TOP / path).exists() for path in source.split())
    assert "WORKDIR /opt/disteval" in dockerfile


def test_only_the_pod_of_rank_0_sees_the_wandb_key(job: dict[str, Any]) -> None:
    # The operator lists the launcher first, so that it runs rank 0.
    assert job["spec"]["runLauncherAsWorker"] is True
    launcher = container(job, "Launcher")
    (variable,) = launcher["env"]
    (mount,) = launcher["volumeMounts"]
    (volume,) = role(job, "Launcher")["volumes"]
    assert variable["name"] == "DISTEVAL_WANDB_KEY_FILE"
    assert Path(variable["value"]).parent == Path(mount["mountPath"])
    assert mount["name"] == volume["name"]
    assert volume["secret"]["secretName"] == "wandb"
    assert "wandb" not in json.dumps(role(job, "Worker")).lower()
    assert "WANDB" not in " ".join(launcher["args"])
