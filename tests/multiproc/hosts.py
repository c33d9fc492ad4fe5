"""Other hosts on this machine: addresses of loopback that Horovod reaches by ssh.

Horovod starts ranks itself on hosts whose address belongs to an interface, and the only one of
loopback that does is 127.0.0.1. For 127.0.0.2 it calls `ssh`, which gets there all the same.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from multiproc.running import free_ports

HERE, THERE = "127.0.0.1", "127.0.0.2"
SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")

SERVER = """
Port {port}
ListenAddress {there}
HostKey {folder}/key
AuthorizedKeysFile {folder}/key.pub
StrictModes no
UsePAM no
PidFile none
"""
CLIENT = """
Port {port}
IdentityFile {folder}/key
UserKnownHostsFile {folder}/known_hosts
LogLevel ERROR
"""
# Without a server: a host that is reached by a shell of its own. Horovod's options have no values
# but those of -o; then come the host and the command.
LOCAL = """
while [ "$1" = -o ]; do shift 2; done
shift
echo "$*" >> {folder}/calls
exec env -i PATH=/usr/bin:/bin sh -c "$*"
"""


@contextlib.contextmanager
def other_host(folder: Path) -> Iterator[dict[str, str]]:
    """Makes `THERE` a host; yields the environment in which `ssh` reaches it.

    Args:
        folder: Keys and configuration go here, and the command `ssh` that knows them.
    """
    folder.mkdir()
    ssh = folder / "ssh"
    environment = {"PATH": f"{folder}:{os.environ['PATH']}"}
    real = shutil.which("ssh")
    if SSHD is None or real is None:
        ssh.write_text("#!/bin/sh" + LOCAL.format(folder=folder))
        ssh.chmod(0o755)
        yield environment
        return
    (port,) = free_ports(1)
    values = {"port": port, "there": THERE, "folder": folder}
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key"], check=True
    )
    (folder / "sshd_config").write_text(SERVER.format(**values))
    (folder / "ssh_config").write_text(CLIENT.format(**values))
    ssh.write_text(f'#!/bin/sh\nexec {real} -F {folder}/ssh_config "$@"\n')
    ssh.chmod(0o755)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where it gives up its rights; a service makes it
    with (folder / "sshd.log").open("w") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", folder / "sshd_config"], stderr=log)
    try:
        _wait_for(server, port)
        yield environment
    finally:
        server.terminate()
        server.wait(timeout=30)


def _wait_for(server: subprocess.Popen[bytes], port: int) -> None:
    while server.poll() is None:
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection((THERE, port), timeout=10).close()
            return
    raise AssertionError(f"sshd ended with {server.returncode}")
