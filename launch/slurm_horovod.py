"""Runs a command as Horovod ranks that `srun` starts; slurm.sbatch runs this on the first node.

Horovod itself starts ranks by ssh, which clusters often forbid, or by an MPI that was built for the
cluster. With Gloo, ranks only need the address of a rendezvous server and their place in the job.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys

from horovod.runner.common.util.hosts import HostInfo, SlotInfo, get_host_assignments
from horovod.runner.gloo_run import create_slot_env_vars
from horovod.runner.http.http_server import RendezvousServer


def plan(nodes: list[str]) -> list[SlotInfo]:
    """Returns the place of each rank.

    Args:
        nodes: The names of all nodes. `SLURM_TASKS_PER_NODE` holds the number of ranks on each,
            for instance `4(x2),3` for three nodes.
    """
    counts: list[int] = []
    for count, repeated in re.findall(r"(\d+)(?:\(x(\d+)\))?", os.environ["SLURM_TASKS_PER_NODE"]):
        counts += [int(count)] * int(repeated or 1)
    hosts = [HostInfo(node, count) for node, count in zip(nodes, counts, strict=True)]
    return get_host_assignments(hosts, sum(counts))


def serve(nodes: str, command: list[str]) -> int:
    """Starts the rendezvous server, then this script for each rank through srun."""
    server = RendezvousServer()
    address = {
        # The name of this node: on the node itself, its address may be a loopback address.
        "HOROVOD_GLOO_RENDEZVOUS_ADDR": nodes.split()[0],
        "HOROVOD_GLOO_RENDEZVOUS_PORT": str(server.start()),
        "HOROVOD_CONTROLLER": "gloo",
        "HOROVOD_CPU_OPERATIONS": "gloo",
    }
    server.init(plan(nodes.split()))
    srun = ["srun", "--kill-on-bad-exit", "--distribution=block"]
    task = [sys.executable, __file__, "--rank", nodes, *command]
    status = subprocess.run([*srun, *task], env=os.environ | address, check=False).returncode
    server.stop()
    return status


def become_rank(nodes: str, command: list[str]) -> None:
    """Replaces this process with the command, as the rank of this task."""
    rank = int(os.environ["SLURM_PROCID"])
    os.environ.update(create_slot_env_vars(plan(nodes.split())[rank]))
    os.execvp(command[0], command)


if __name__ == "__main__":
    if sys.argv[1] == "--rank":
        become_rank(sys.argv[2], sys.argv[3:])
    sys.exit(serve(sys.argv[1], sys.argv[2:]))
