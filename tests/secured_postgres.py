"""A PostgreSQL that speaks TLS, and asks each role who it is in another way.

The wheel that all other tests run on was built without TLS; the older servers can speak it.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from psycopg import sql

from devstack.ports import LOOPBACK
from devstack.postgres import SUPERUSER
from tests.authority import Authority
from tests.postgres_versions import VERSIONS, OldPostgres, running

NAME = "localhost"
"""The only name in the server's certificate: its address is not one."""
SECRET = "s3cret-of-the-role"
RULES = {
    SUPERUSER: ("host", "scram-sha-256"),
    "scram": ("host", "scram-sha-256"),
    "md5": ("host", "md5"),
    "password": ("host", "password"),
    "trust": ("host", "trust"),
    "cert": ("hostssl", "cert"),
    "only_tls": ("hostssl", "scram-sha-256"),
}
"""How each role may come in, and how it is asked who it is, as pg_hba.conf has it."""


class SecuredPostgres(OldPostgres):
    """The server; `authority` signs its certificate and those of its clients."""

    def __init__(self, port: int, directory: Path) -> None:
        super().__init__(port, directory)
        self.certificates = directory / "certificates"
        self.certificates.mkdir()
        self.authority = Authority(self.certificates)
        self._certificate, self._key = self.authority.issue(NAME)
        if self.user:
            shutil.chown(self._key, self.user)

    def settings(self) -> dict[str, str]:
        """The usual ones, and TLS."""
        return super().settings() | {
            "ssl": "on",
            "ssl_cert_file": f"'{self._certificate}'",
            "ssl_key_file": f"'{self._key}'",
            "ssl_ca_file": f"'{self.authority.file}'",
        }

    def prepare(self) -> None:
        """Create the data directory, with its own pg_hba.conf."""
        super().prepare()
        lines = [f"{kind} all {role} {LOOPBACK}/32 {how}" for role, (kind, how) in RULES.items()]
        self._write(self.directory / "pg_hba.conf", "\n".join(lines) + "\n")

    def create_roles(self) -> None:
        """Create the roles, all with the same password, and superusers."""
        with self.connect() as connection:
            for role in RULES.keys() - {SUPERUSER}:
                form = "md5" if role == "md5" else "scram-sha-256"
                connection.execute(f"SET password_encryption = '{form}'".encode())
                create = sql.SQL("CREATE ROLE {} LOGIN SUPERUSER PASSWORD {}")
                connection.execute(create.format(sql.Identifier(role), sql.Literal(SECRET)))

    def named(self, role: str, **more: str) -> dict[str, str]:
        """The variables by which a role reaches the server, verified; `more` come on top."""
        return {
            "DB_HOST": NAME,
            "DB_PORT": str(self.port),
            "DB_USERNAME": role,
            "DB_PASSWORD": SECRET,
            "DB_SSLMODE": "verify-full",
            "DB_SSLROOTCERT": str(self.authority.file),
            **more,
        }


@contextmanager
def secured_postgres() -> Iterator[SecuredPostgres]:
    """A running one of the newest version, gone at the end."""
    with running(VERSIONS[-1], SecuredPostgres) as server:
        server.create_roles()
        yield server
