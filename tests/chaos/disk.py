"""A disk that fills up under PostgreSQL: a small tmpfs with the history's day partitions on it.

Where mounting is not allowed, a trigger gives PostgreSQL's own answer of a full disk instead.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devstack.stack import Stack
from tests.chaos.world import World
from tests.connections import connect

SIZE_MB = 128
TRIGGER = """
    CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
    CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON ingest_offsets
    FOR EACH STATEMENT EXECUTE FUNCTION full_disk()
"""


class MountedDisk:
    """Full while a file takes all the room there is."""

    def __init__(self, path: Path) -> None:
        self._ballast = path / "ballast"

    def fill(self) -> None:
        """Leave not a byte."""
        with self._ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass

    def make_room(self) -> None:
        """As an operator would."""
        self._ballast.unlink()


class PretendedDisk:
    """Every flush is told that the disk is full."""

    def __init__(self, world: World) -> None:
        self._world = world

    def fill(self) -> None:
        """From now on."""
        with connect(self._world.environment) as connection:
            connection.execute(TRIGGER)

    def make_room(self) -> None:
        """No longer."""
        with connect(self._world.environment) as connection:
            connection.execute("DROP FUNCTION full_disk CASCADE")


@contextmanager
def small_disk(world: World) -> Iterator[MountedDisk | PretendedDisk]:
    """Put the day partitions that are yet to be made on a small disk; the world's database goes
    with it."""
    path = world.stack.data_dir / "small-disk"
    path.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "small-disk", str(path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        world.figures.scenario += ", as a trigger pretends"
        yield PretendedDisk(world)
        return
    try:
        tablespace = path / "tablespace"
        tablespace.mkdir()
        if user := world.stack.service("postgres").user:
            shutil.chown(tablespace, user)
        with connect(world.environment) as connection:
            database = world.environment["DB_DATABASE"]
            connection.execute(f"CREATE TABLESPACE small LOCATION '{tablespace}'".encode())
            connection.execute("GRANT CREATE ON TABLESPACE small TO PUBLIC")
            connection.execute(f"ALTER DATABASE {database} SET default_tablespace = small".encode())
        try:
            yield MountedDisk(path)
        finally:
            _forget(world.stack, database)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def _forget(stack: Stack, database: str) -> None:
    """PostgreSQL would not survive the loss of a file it still wants to write."""
    with connect({**stack.environment, "DB_DATABASE": "postgres"}) as connection:
        connection.execute(f"DROP DATABASE {database} WITH (FORCE)".encode())
        connection.execute("DROP TABLESPACE small")
