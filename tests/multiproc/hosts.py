"""Two hosts on this machine: their names, a network between them, and `ssh` from one to the other.

The first has the network of this machine, and the second one a network namespace. Both have a host
name and an `/etc/hosts` of their own, since Horovod's Gloo looks up the address of its host there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HERE, THERE = "node1", "node2"
# ip(8) is not on every PATH.
IP = shutil.which("ip", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")

# Runs a command on a host.
ENTER = """#!/bin/sh
name=$1
shift
[ "$name" != {THERE} ] || in={namespace}
exec ${{in:+{IP} netns exec $in}} unshare --uts --mount sh -c \\
    'mount --bind {folder}/hosts /etc/hosts && hostname "$0" && exec "$@"' "$name" "$@"
"""
# Horovod's options all have values, and some of them come after the host.
SSH = """#!/bin/sh
host=
while true; do
    case $1 in
        -*) shift 2 ;;
        *) [ -z "$host" ] || break; host=$1; shift ;;
    esac
done
exec {folder}/enter "$host" env -i PATH=/usr/bin:/bin HOME="$HOME" sh -c "$*"
"""
# A job of two nodes with one task each; Slurm itself ends the others when one fails.
SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do shift; done
SLURM_PROCID=0 "$@" &
SLURM_PROCID=1 {folder}/enter {THERE} "$@" &
trap 'kill $(jobs -p) 2>/dev/null' EXIT
wait -n && wait -n
"""
SCONTROL = """#!/bin/sh
printf '{HERE}\\n{THERE}\\n'
"""


class Hosts(NamedTuple):
    """Two hosts.

    Attributes:
        inside: What runs a command on the first one.
        path: A PATH with `ssh`, and with `srun` and `scontrol` of a job on both.
    """

    inside: list[str]
    path: str

    @property
    def slurm(self) -> dict[str, str]:
        """The environment of a Slurm job."""
        return {
            "SLURM_JOB_ID": str(os.getpid()),
            "SLURM_JOB_NODELIST": "node[1-2]",
            "SLURM_TASKS_PER_NODE": "1(x2)",
        }


def can_make_hosts() -> bool:
    """Whether this process may make namespaces."""
    if IP is None or os.geteuid() != 0:
        return False
    unshare = ["unshare", "--net", "--uts", "--mount", "true"]
    return not subprocess.run(unshare, capture_output=True).returncode


@contextlib.contextmanager
def two_hosts(folder: Path) -> Iterator[Hosts]:
    """Makes two hosts, for as long as the context lasts.

    Args:
        folder: Where their commands go.
    """
    number = os.getpid()
    namespace, link = f"disteval-{number}", f"dev{number}"
    network = f"198.18.{number % 256}"  # of a block that no network uses, but tests
    folder.mkdir()
    (folder / "hosts").write_text(f"127.0.0.1 localhost\n{network}.1 {HERE}\n{network}.2 {THERE}\n")
    commands = {"enter": ENTER, "ssh": SSH, "srun": SRUN, "scontrol": SCONTROL}
    for name, text in commands.items():
        values = {"folder": folder, "namespace": namespace, "IP": IP, "HERE": HERE, "THERE": THERE}
        (folder / name).write_text(text.format(**values))
        (folder / name).chmod(0o755)
    _ip("netns", "add", namespace)
    try:
        _ip("link", "add", link, "type", "veth", "peer", "name", link, "netns", namespace)
        _ip("address", "add", f"{network}.1/30", "dev", link)
        _ip("link", "set", link, "up")
        _ip("-n", namespace, "address", "add", f"{network}.2/30", "dev", link)
        _ip("-n", namespace, "link", "set", link, "up")
        _ip("-n", namespace, "link", "set", "lo", "up")
        yield Hosts([str(folder / "enter"), HERE], f"{folder}:{os.environ['PATH']}")
    finally:
        _ip("netns", "delete", namespace)  # and the link with it


def _ip(*args: str) -> None:
    subprocess.run([str(IP), *args], check=True)
