"""A real Slurm of three nodes on this machine, without systemd and accounting, for the time of a test.

SPDX-License-Identifier: LGPL-2.1-or-later
"""
from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

import films
import pytest
from conftest import TOP

CONFIGURATION = Path("/etc/slurm/slurm.conf")  # jobs call Slurm's programs again, which look for it there
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"
GPUS = CONFIGURATION.with_name("gres.conf")
NODES = ("n1", "n2", "n3")
START_TIMEOUT = 300  # seconds, on a loaded machine


def program(name: str) -> str:
    found = shutil.which(name, path=PATH)
    if not found:
        pytest.skip(f"Slurm is not installed ({name}): ./configure --install-deps")
    return found


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def with_environment(text: str) -> list[int]:
    """Processes whose environment has a text in it."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if text.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            pass
    return found


class Slurm:
    """A running one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def states(self) -> dict[str, str]:
        done = subprocess.run([program("sinfo"), "-h", "-N", "-o", "%N %t"], capture_output=True, text=True, check=False)
        return dict(line.split() for line in done.stdout.splitlines())

    def pid(self, daemon: str) -> int | None:
        try:
            return int((self.folder / f"{daemon}.pid").read_text())
        except (OSError, ValueError):
            return None

    def lose(self, node: str) -> None:
        """The node and everything on it are gone from one moment to the next."""
        there, daemon = films.processes(), self.pid(f"slurmd-{node}")
        doomed = set(with_environment(f"SLURMD_NODENAME={node}\0"))
        for pid in list(doomed):  # the supervisors of its jobs
            while pid in there and pid > 1:
                if "slurmstepd" in there[pid][1]:
                    doomed.add(pid)
                pid = there[pid][0]
        for pid in [*([daemon] if daemon else []), *sorted(doomed)]:
            films.kill(pid)

    def stop(self) -> None:
        for daemon in (*(f"slurmd-{node}" for node in NODES), "slurmctld", "munged"):
            if pid := self.pid(daemon):
                try:
                    os.kill(pid, signal.SIGTERM)
                except ProcessLookupError:
                    pass


def launch(folder: Path) -> None:
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o400)
    subprocess.run([program("munged"), "--force", f"--key-file={folder}/munge.key", f"--socket={folder}/munge.socket",
                    f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log", f"--seed-file={folder}/munge.seed"],
                   check=True, capture_output=True)
    subprocess.run([program("slurmctld"), "-f", CONFIGURATION], check=True, capture_output=True)
    time.sleep(1)
    for node in NODES:
        subprocess.run([program("slurmd"), "-N", node, "-f", CONFIGURATION], check=True, capture_output=True)


@contextmanager
def running(folder: Path) -> Iterator[Slurm]:
    """Skips the test where there is no Slurm, or one of the machine's own, or where it may not be started."""
    for name in ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "sinfo", "srun"):
        program(name)
    if os.getuid():
        pytest.skip("a Slurm for the tests is started by root alone")
    for path in (CONFIGURATION, GPUS):
        if path.exists():
            pytest.skip(f"this machine has a Slurm of its own: {path}")
    text = (TOP / "tests/farm/slurm.conf.in").read_text()
    values = {"HOST": socket.gethostname().split(".")[0], "DIR": str(folder),
              **{f"PORT{number}": str(port) for number, port in enumerate(free_ports(4))}}
    for name in ("state", "spool"):
        (folder / name).mkdir()
    CONFIGURATION.parent.mkdir(exist_ok=True)
    CONFIGURATION.write_text(re.sub("@([A-Z0-9]+)@", lambda match: values[match[1]], text))
    # A GPU on each node, as far as Slurm is concerned.
    GPUS.write_text("".join(f"NodeName={node} Name=gpu File=/dev/null\n" for node in NODES))
    slurm = Slurm(folder)
    try:
        launch(folder)
        end = time.time() + START_TIMEOUT
        while set(slurm.states().values()) != {"idle"}:
            assert time.time() < end, f"Slurm does not start: {slurm.states()}"
            time.sleep(0.2)
        yield slurm
    finally:
        slurm.stop()
        for path in (CONFIGURATION, GPUS):
            path.unlink(missing_ok=True)
