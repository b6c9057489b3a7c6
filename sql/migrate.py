"""Forward-only migrations: the .sql files of `sql/migrations`, each applied once, in order.

Several processes may start at once: an advisory lock lets one apply, the others then find nothing
left to do. Each file runs in a transaction of its own, together with the note that it ran.

A file says which code can still work on the schema it makes, by a line `-- oldest code: 0004`: code
that knows migration 0004 or a later one. So processes of the version before may be started, and a
version may be rolled back, while the schema is newer than they are.
"""

import hashlib
import re
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from sql import locks
from sql.errors import MigrationError
from sql.grant import grant_again

MIGRATIONS_DIRECTORY = Path(__file__).parent / "migrations"
NOT_MIGRATED = "the schema is missing or old, run `python -m sql migrate`"
_OLDEST_CODE = re.compile(r"^-- oldest code: (\d{4})$", re.MULTILINE)
_NUMBER = slice(0, 4)
"""A file's name begins with its number."""

_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name text PRIMARY KEY,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""
_OLDEST_CODE_COLUMN = "ALTER TABLE schema_migrations ADD COLUMN IF NOT EXISTS oldest_code text"


class Migration(NamedTuple):
    """One migration: its name, its text, and when it was applied, if it was."""

    name: str
    text: str | None
    """None when a newer version has applied it: this code does not know it."""
    applied_at: Any


def migrations(connection: psycopg.Connection[Any]) -> list[Migration]:
    """All migrations with what the database says of them, in order.

    Raises MigrationError when an applied file was changed, or when a newer version has applied one
    that this code cannot work with.
    """
    applied = _applied(connection)
    found = []
    for path in sorted(MIGRATIONS_DIRECTORY.glob("*.sql")):
        text = path.read_text()
        sha256, applied_at, _ = applied.pop(path.name, (None, None, None))
        if sha256 not in (None, _sha256(text)):
            raise MigrationError(f"{path.name} was changed after it had been applied")
        found.append(Migration(path.name, text, applied_at))
    newest = found[-1].name[_NUMBER]
    for name, (_, applied_at, oldest_code) in sorted(applied.items()):
        if name < found[-1].name or oldest_code is None or oldest_code > newest:
            needed = f"; {oldest_code} or later would do" if oldest_code else ""
            raise MigrationError(
                f"the database has {name}, with which this version cannot work: it knows migrations"
                f" up to {newest}{needed}"
            )
        found.append(Migration(name, None, applied_at))
    return found


def migrate(connection: psycopg.Connection[Any]) -> list[str]:
    """Apply what is missing and return its names. Wants a connection with autocommit on.

    Roles that were granted rights get what they need on the new tables. Raises MigrationError.
    """
    connection.execute("SELECT pg_advisory_lock(%s)", (locks.MIGRATION,))
    try:
        connection.execute(_TABLE)
        if not _has_oldest_code(connection):
            connection.execute(_OLDEST_CODE_COLUMN)
        found = migrations(connection)
        pending = [m for m in found if m.applied_at is None]
        for name, text, _ in pending:
            assert text is not None
            stated = _OLDEST_CODE.search(text)
            note = (name, _sha256(text), stated.group(1) if stated else None)
            with connection.transaction():
                connection.execute(text.encode())
                connection.execute(
                    "INSERT INTO schema_migrations (name, sha256, oldest_code) VALUES (%s, %s, %s)",
                    note,
                )
        grant_again(connection, revoke=not is_newer(found))
    finally:
        connection.execute("SELECT pg_advisory_unlock(%s)", (locks.MIGRATION,))
    return [migration.name for migration in pending]


def is_newer(found: list[Migration]) -> bool:
    """Whether newer code has migrated: what its processes need on its tables is not known here."""
    return any(migration.text is None for migration in found)


def is_current(connection: psycopg.Connection[Any]) -> bool:
    """Whether every migration that this code knows has been applied. Raises MigrationError."""
    return all(migration.applied_at is not None for migration in migrations(connection))


def _applied(connection: psycopg.Connection[Any]) -> dict[str, tuple[str, Any, str | None]]:
    """By name: the file's hash, when it was applied, and the oldest code that it allows."""
    if connection.execute("SELECT to_regclass('schema_migrations')").fetchone() == (None,):
        return {}
    oldest_code = "oldest_code" if _has_oldest_code(connection) else "NULL"
    rows = connection.execute(
        f"SELECT name, sha256, applied_at, {oldest_code} FROM schema_migrations".encode()
    )
    return {name: (sha256, applied_at, oldest) for name, sha256, applied_at, oldest in rows}


def _has_oldest_code(connection: psycopg.Connection[Any]) -> bool:
    """Whether the table notes the oldest code: that of release 0.1.0 did not."""
    row = connection.execute(
        "SELECT FROM pg_attribute WHERE attrelid = 'schema_migrations'::regclass"
        " AND attname = 'oldest_code' AND NOT attisdropped"
    ).fetchone()
    return row is not None


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
