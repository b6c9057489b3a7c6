"""The commands of docs/citus.md, on servers of this machine."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

from devstack.citus import CitusNode
from devstack.ports import LOOPBACK, Ports
from devstack.postgres import PASSWORD, PROGRAMS, UNPRIVILEGED_USER, Postgres
from tests.workers import ROOT

DOCUMENT = ROOT / "docs" / "citus.md"
DATABASE = "energy_ingestion"
ROLES = {"worker": "energy_worker", "api": "energy_api", "reader": "energy_reader"}


class Servers:
    """A plain PostgreSQL that becomes a coordinator, and nodes, each reached by passwords alone."""

    def __init__(self, directory: Path, wheel: Path) -> None:
        """`wheel` has Citus. Nothing is started yet."""
        self._ports = Ports()
        self._directory = directory
        self._wheel = wheel
        port = self._ports.take()
        self.plain = Postgres(port, directory)
        self.coordinator = CitusNode(port, directory, "postgres", wheel)
        self.nodes = [self._node(f"node-{n}") for n in (1, 2, 3)]

    def start(self) -> None:
        """Start the plain one, and the nodes."""
        for server in (self.plain, *self.nodes):
            server.reach()
            server.prepare()
            server.start()

    def become_coordinator(self) -> None:
        """The restart with Citus preloaded."""
        self.plain.stop()
        self.coordinator.reach()
        self.coordinator.start()

    def stop(self) -> None:
        """Stop all."""
        for server in (self.plain, self.coordinator, *self.nodes):
            if server.running:
                server.kill()
        self._ports.close()

    def do(self, environment: dict[str, str], *commands: str) -> str:
        """Run these commands of the document, and return what they print; fails as they do."""
        text = "\n".join(commands)
        lines = {line.strip() for line in DOCUMENT.read_text(encoding="utf-8").splitlines()}
        assert {line.strip() for line in text.splitlines()} <= lines, "the document has no such"
        given = {
            "10.0.0.11:5432": f"{LOOPBACK}:{self.nodes[0].port}",
            "10.0.0.12:5432": f"{LOOPBACK}:{self.nodes[1].port}",
            "10.0.0.13:5432": f"{LOOPBACK}:{self.nodes[2].port}",
            "host=10.0.0.10 port=5432": f"host={LOOPBACK} port={self.plain.port}",
            "'10.0.0.10', 5432": f"'{LOOPBACK}', {self.plain.port}",
            "python -m": f"{sys.executable} -m",
        }
        for name, value in given.items():
            text = text.replace(name, value)
        programs = self._wheel / PROGRAMS
        path = f"{programs}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=ROOT,
            env={**os.environ, **environment, "PGPASSWORD": PASSWORD, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def _node(self, name: str) -> CitusNode:
        return CitusNode(self._ports.take(), self._directory, name, self._wheel)


def blocks() -> list[str]:
    """The document's blocks of commands, as they stand there but for their indent."""
    text = DOCUMENT.read_text(encoding="utf-8")
    found = re.findall(r"(?:^|\n\n)((?: {4,}\S[^\n]*\n)+)", text)
    return [textwrap.dedent(block).strip("\n") for block in found]


def block(start: str) -> str:
    """The one block with this text."""
    found = [each for each in blocks() if start in each]
    assert len(found) == 1, (start, found)
    return found[0]


def write_passwords(path: Path, superuser: str) -> None:
    """The file of passwords that the document shows, for the user that runs PostgreSQL."""
    shown = block(":energy_worker:")
    path.write_text(shown.replace("postgres", superuser).replace("PASSWORD", PASSWORD) + "\n")
    path.chmod(0o600)
    if os.geteuid() == 0:
        shutil.chown(path, UNPRIVILEGED_USER)
