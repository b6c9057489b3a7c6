"""PostgreSQL servers to back up and to restore to, by PostgreSQL's own programs."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devstack.ports import LOOPBACK, Ports
from devstack.postgres import PASSWORD, SUPERUSER, Postgres
from tests.workers import PATIENCE_S


class Server(Postgres):
    """A server whose settings a test adds to; `directory.parent` is its machine's disk."""

    def __init__(self, port: int, directory: Path, **more: str) -> None:
        super().__init__(port, directory)
        self._more = {"shared_buffers": "64MB", "max_wal_size": "256MB", **more}

    def settings(self) -> dict[str, str]:
        """The usual ones, and this server's own."""
        return super().settings() | self._more

    @property
    def environment(self) -> dict[str, str]:
        """How its administrator reaches it."""
        return {
            "DB_HOST": LOOPBACK,
            "DB_PORT": str(self.port),
            "DB_USERNAME": SUPERUSER,
            "DB_PASSWORD": PASSWORD,
        }

    def run(self, program: str, *words: str) -> str:
        """Run a client program against it, as its administrator; returns what it printed."""
        done = subprocess.run(
            [str(self.programs / program), *words],
            env={
                **os.environ,
                "PGHOST": LOOPBACK,
                "PGPORT": str(self.port),
                "PGUSER": SUPERUSER,
                "PGPASSWORD": PASSWORD,
            },
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, f"{program}: {done.stderr}"
        return done.stdout

    def owns(self, path: Path) -> Path:
        """Make it the user's that the server runs as, with all that is in it."""
        if self.user:
            for each in (path, *path.rglob("*")):
                shutil.chown(each, self.user)
        return path


@contextmanager
def machine(prefix: str) -> Iterator[tuple[Path, int]]:
    """A directory that PostgreSQL's user can reach, and a free port."""
    ports = Ports()
    with tempfile.TemporaryDirectory(prefix=prefix) as name:
        path = Path(name)
        path.chmod(0o711)
        yield path, ports.take()
    ports.close()


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """The server, started on the data that are there or on new ones; killed at the end."""
    server.reach()
    server.prepare()
    server.start()
    try:
        yield server
    finally:
        if server.running:
            server.kill()
