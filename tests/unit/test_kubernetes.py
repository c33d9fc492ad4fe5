"""The job for Kubernetes, as far as it can be checked without a cluster."""

from __future__ import annotations

from pathlib import Path

import yaml

TOP = Path(__file__).resolve().parents[2]


class UniqueKeys(yaml.SafeLoader):
    """Refuses a mapping that names a key twice, as Kubernetes does and PyYAML does not."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"{keys} at line {node.start_mark.line + 1}"
        return super().construct_mapping(node, deep)


# What the MPI Operator's v2beta1 knows, as far as it is of its own and not of Kubernetes.
SPEC = {"slotsPerWorker", "runPolicy", "sshAuthMountPath", "mpiReplicaSpecs"}
RUN_POLICY = {"cleanPodPolicy", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished"}
CONTAINER = {"name", "image", "command", "args", "env", "resources", "volumeMounts"}


def test_mpijob() -> None:
    job = yaml.load((TOP / "launch/kubernetes/mpijob.yaml").read_text(), UniqueKeys)
    assert (job["apiVersion"], job["kind"]) == ("kubeflow.org/v2beta1", "MPIJob")
    spec = job["spec"]
    assert spec.keys() <= SPEC
    assert spec["runPolicy"].keys() <= RUN_POLICY
    roles = spec["mpiReplicaSpecs"]
    assert roles.keys() == {"Launcher", "Worker"}
    for role in roles.values():
        assert role.keys() <= {"replicas", "restartPolicy", "template"}
        assert role["template"].keys() == {"spec"}
        pod = role["template"]["spec"]
        assert pod.keys() <= {"containers", "volumes"}
        (container,) = pod["containers"]
        assert container.keys() <= CONTAINER
        assert all(isinstance(arg, str) for arg in container["command"] + container["args"])
        volumes = {volume["name"] for volume in pod.get("volumes", [])}
        assert {mount["name"] for mount in container.get("volumeMounts", [])} <= volumes
    args = roles["Launcher"]["template"]["spec"]["containers"][0]["args"]
    assert int(args[args.index("-np") + 1]) == roles["Worker"]["replicas"] * spec["slotsPerWorker"]
    script = next(arg for arg in args if arg.endswith(".py"))
    assert (TOP / script.removeprefix("/opt/disteval/")).exists()
    assert "WANDB_API_KEY" not in " ".join(args)
