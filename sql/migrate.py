"""Forward-only migrations: the .sql files of `sql/migrations`, each applied once, in order.

Several processes may start at once: an advisory lock lets one apply, the others then find nothing
left to do. Each file runs in a transaction of its own, together with the note that it ran.
"""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from sql import locks
from sql.errors import MigrationError

MIGRATIONS_DIRECTORY = Path(__file__).parent / "migrations"

_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name text PRIMARY KEY,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


class Migration(NamedTuple):
    """One file: its name, its text, and when it was applied, if it was."""

    name: str
    text: str
    applied_at: Any


def migrations(connection: psycopg.Connection[Any]) -> list[Migration]:
    """All migrations with what the database says of them.

    Raises MigrationError when an applied file was changed or is gone.
    """
    applied = {}
    if connection.execute("SELECT to_regclass('schema_migrations')").fetchone() != (None,):
        rows = connection.execute("SELECT name, sha256, applied_at FROM schema_migrations")
        applied = {name: (sha256, applied_at) for name, sha256, applied_at in rows}
    found = []
    for path in sorted(MIGRATIONS_DIRECTORY.glob("*.sql")):
        text = path.read_text()
        sha256, applied_at = applied.pop(path.name, (None, None))
        if sha256 not in (None, _sha256(text)):
            raise MigrationError(f"{path.name} was changed after it had been applied")
        found.append(Migration(path.name, text, applied_at))
    if applied:
        raise MigrationError(f"applied, but not known here: {', '.join(sorted(applied))}")
    return found


def migrate(connection: psycopg.Connection[Any]) -> list[str]:
    """Apply what is missing and return its names. Wants a connection with autocommit on."""
    connection.execute("SELECT pg_advisory_lock(%s)", (locks.MIGRATION,))
    try:
        connection.execute(_TABLE)
        pending = [m for m in migrations(connection) if m.applied_at is None]
        for migration in pending:
            with connection.transaction():
                connection.execute(migration.text.encode())
                connection.execute(
                    "INSERT INTO schema_migrations (name, sha256) VALUES (%s, %s)",
                    (migration.name, _sha256(migration.text)),
                )
    finally:
        connection.execute("SELECT pg_advisory_unlock(%s)", (locks.MIGRATION,))
    return [migration.name for migration in pending]


def is_current(connection: psycopg.Connection[Any]) -> bool:
    """Whether every migration has been applied."""
    return all(migration.applied_at is not None for migration in migrations(connection))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
