"""`python -m api keys create|list|revoke|rotate`: what the owner of the database does with keys.

They need the database and nothing else, so that they are the way back in when every key is lost. A
secret is shown once: alone on the last line of stdout, in JSON, or in a file of its own.
"""

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import psycopg
from psycopg.errors import InsufficientPrivilege
from psycopg.rows import dict_row

from api.keys.errors import KeyCommandError
from reporting.applications import Application
from reporting.command import BAD_INPUT_STATUS, FAILED_STATUS, fail, print_json, say
from reporting.tables import to_the_second
from schemas.keys import Key, Role, new_key
from schemas.settings import Settings
from schemas.text import one_line, printable
from sql.connect import Connection, connect, conninfo
from sql.errors import MigrationError
from sql.migrate import NOT_MIGRATED, is_current
from sql.named import load

SQL = load("keys")
FAILURES = (KeyCommandError, MigrationError, psycopg.Error, OSError)
"""What ends a command with one line and status 1."""


def keys_command(settings: Settings, arguments: argparse.Namespace) -> int:
    """Run one of the commands; returns the exit status: 0, 1 for a failure, 2 for bad input."""
    if arguments.action == "create" and arguments.devices and arguments.role != Role.GATEWAY:
        fail(f"--devices is for gateways: a key of role {arguments.role} sends no readings")
        return BAD_INPUT_STATUS
    try:
        if arguments.action == "create" and arguments.file and arguments.file.exists():
            say(f"{arguments.file} is there already: no key was made")
            return 0
        where = conninfo(settings, Application.KEYS)
        with connect(where) as connection:
            if not is_current(connection):
                raise MigrationError(NOT_MIGRATED)
            connection.row_factory = dict_row
            _execute(connection, arguments)
    except BrokenPipeError:
        raise  # nobody reads what the command prints
    except InsufficientPrivilege as error:
        who = settings.db_username
        fail(f"keys are made by the owner of the database, not by {who}: {one_line(error)}")
        return FAILED_STATUS
    except FAILURES as error:
        fail(one_line(error))
        return FAILED_STATUS
    return 0


def _execute(connection: Connection, arguments: argparse.Namespace) -> None:
    match arguments.action:
        case "create" if arguments.file:
            _create_in_file(connection, arguments, arguments.file)
        case "create":
            key = new_key()
            made = _insert(connection, arguments, key)
            say(f"made key {key.id}; it is not shown again")
            _show(key, made, as_json=arguments.json)
        case "list":
            _list(connection, as_json=arguments.json)
        case "revoke":
            if connection.execute(SQL["revoke"], {"id": arguments.id}).fetchone() is None:
                raise KeyCommandError(f"there is no key {arguments.id}")
            say(f"revoked {arguments.id}; every process refuses it within 5 s")
        case "rotate":
            _rotate(connection, arguments)


def _insert(connection: Connection, arguments: argparse.Namespace, key: Key) -> dict[str, Any]:
    row = {"id": key.id, "name": arguments.name, "role": arguments.role, "hash": key.hash}
    row |= {"device_prefixes": arguments.devices, "expires_at": arguments.expires}
    made: Any = connection.execute(SQL["create"], row).fetchone()
    return dict(made)


def _show(key: Key, row: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(_shown(row) | {"key": str(key)})
    else:
        print(key, flush=True)


def _create_in_file(connection: Connection, arguments: argparse.Namespace, path: Path) -> None:
    """The file gets its name when all of it is written, and the database has the key.

    So nobody reads half a key, and of two that make one at once the second makes none.
    """
    key = new_key()
    number, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)  # mode 600
    written = Path(name)
    try:
        with os.fdopen(number, "w") as file:
            file.write(f"{key}\n")
            file.flush()
            os.fsync(file.fileno())
        _insert(connection, arguments, key)
        try:
            os.link(written, path)
        except OSError as error:
            connection.execute(SQL["delete"], {"id": key.id})
            if not isinstance(error, FileExistsError):
                raise
            say(f"{path} is there already: no key was made")
            return
    finally:
        written.unlink()
    say(f"made key {key.id}; it is in {path}")


def _rotate(connection: Connection, arguments: argparse.Namespace) -> None:
    key = new_key(arguments.id)
    row = {"id": key.id, "hash": key.hash, "grace": arguments.grace}
    found = connection.execute(SQL["rotate"], row).fetchone()
    if found is None:
        states = {one["id"]: one["state"] for one in connection.execute(SQL["list"])}
        if key.id not in states:
            raise KeyCommandError(f"there is no key {key.id}")
        raise KeyCommandError(f"key {key.id} is {states[key.id]}: make a new one")
    until = to_the_second(found["previous_expires_at"])
    say(f"rotated {key.id}; the old secret is good until {until}; the new one is not shown again")
    _show(key, found, as_json=arguments.json)


def _list(connection: Connection, *, as_json: bool) -> None:
    rows = connection.execute(SQL["list"]).fetchall()
    if as_json:
        print_json([_shown(row) for row in rows])
        return
    print(f"{'id':<12}  {'role':<8}  {'name':<24}  {'created':<20}  {'expires':<20}  state")
    for row in rows:
        expires = to_the_second(row["expires_at"]) if row["expires_at"] else "never"
        state = row["state"]
        if row["old_secret_live"]:
            state += f", rotated: old secret until {to_the_second(row['previous_expires_at'])}"
        if row["device_prefixes"]:
            state += f", devices {','.join(row['device_prefixes'])}"
        print(
            f"{row['id']:<12}  {row['role']:<8}  {printable(row['name'].encode()):<24}"
            f"  {to_the_second(row['created_at']):<20}  {expires:<20}  {printable(state.encode())}"
        )


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """A row as JSON shows it."""
    names = {
        "id": "id",
        "name": "name",
        "role": "role",
        "device_prefixes": "devicePrefixes",
        "created_at": "createdAt",
        "expires_at": "expiresAt",
        "revoked_at": "revokedAt",
        "rotated_at": "rotatedAt",
        "previous_expires_at": "previousExpiresAt",
        "state": "state",
    }
    return {shown: row[name] for name, shown in names.items() if name in row}
