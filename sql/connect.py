"""How every process of the project reaches PostgreSQL, and how it lets go of it.

All connections come from `connect`, or are handed to `settle` by the pool that made them. Each then
sets for itself whatever our statements depend on: a server, a database, a role, a pooler or the
environment (PGDATESTYLE) may have other defaults. It does so by statements: a pooler such as
PgBouncer refuses unknown startup parameters.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo
from psycopg.rows import DictRow, RowFactory, dict_row, tuple_row

from reporting.applications import Application
from schemas.settings import Settings
from sql import citus
from sql.cutting import cut as cut
from sql.errors import UnsuitableDatabaseError
from sql.named import load
from sql.poolers import refuse_pooler_of_transactions
from sql.unreachable import in_plain_words

Connection = psycopg.Connection[Any]

OLDEST_VERSION = 150_000
"""PostgreSQL 15: the first that knows UNIQUE NULLS NOT DISTINCT."""
VERSIONS_A_MAJOR = 10_000
ENCODING = "UTF8"
SESSION = {
    "client_encoding": ENCODING,
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "array_nulls": "on",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    "quote_all_identifiers": "off",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "session_replication_role": "origin",
    "exit_on_error": "off",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "transaction_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
}
"""What our statements depend on, unless a connection asks for something else. That transactions may
write is left to the server: one that was made read-only is to be waited for. So is how plans are
made, which changes no answer."""
NOTHING_ELSE: Mapping[str, str] = MappingProxyType({})
QUERIES = load("connections")
_pooled_by_session: set[str] = set()
"""Connection strings that lead to a pooler of sessions, which was looked at already."""


def conninfo(settings: Settings, application: Application, **parameters: Any) -> str:
    """libpq connection string; dead peers are noticed within about half a minute.

    `parameters` are further ones of libpq; what is to be set on the server goes to `connect`. Those
    that say where to and whom to trust are all given: PGHOSTADDR, PGSSLROOTCERT and the like in a
    process's environment mean nothing.
    """
    return make_conninfo(
        host=settings.db_host,
        hostaddr="",
        port=settings.db_port,
        user=settings.db_username,
        password=settings.db_password.get_secret_value(),
        dbname=settings.db_database,
        sslmode=settings.db_sslmode,
        require_auth=settings.db_require_auth,
        sslrootcert=settings.db_sslrootcert or "",
        sslcert=settings.db_sslcert or "",
        sslkey=settings.db_sslkey or "",
        gssencmode="disable",
        application_name=application,
        connect_timeout=10,
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
        tcp_user_timeout=30_000,
        **parameters,
    )


def connect(
    where: str,
    session: Mapping[str, str] = NOTHING_ELSE,
    *,
    autocommit: bool = True,
    row_factory: RowFactory[Any] = tuple_row,
) -> Connection:
    """A connection on which our statements mean what they say.

    `session` are parameters of the server beside those of SESSION, such as `lock_timeout`; those
    that an older server does not know are left out. Raises UnsuitableDatabaseError, or another
    psycopg.OperationalError when the server cannot be reached or lets us not in.
    """
    connection: Connection
    try:
        connection = psycopg.connect(where, autocommit=True, row_factory=row_factory)
    except psycopg.OperationalError as error:
        raise in_plain_words(error, where) from None
    try:
        with connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(QUERIES["unhurried"])
            found = cursor.execute(QUERIES["settle"], _wanted(session)).fetchone()
        pid = _suitable(connection, found)
        if pid != connection.info.backend_pid and where not in _pooled_by_session:
            refuse_pooler_of_transactions(connection, where, pid)
            _pooled_by_session.add(where)
        connection.autocommit = autocommit
    except BaseException:
        connection.close()
        raise
    return connection


async def connect_async(where: str) -> AsyncConnection[DictRow]:
    """An autocommit connection of coroutines, not settled yet. Raises psycopg.OperationalError."""
    try:
        return await AsyncConnection.connect(where, autocommit=True, row_factory=dict_row)
    except psycopg.OperationalError as error:
        raise in_plain_words(error, where) from None


async def settle(
    connection: AsyncConnection[Any], session: Mapping[str, str] = NOTHING_ELSE
) -> None:
    """Make a new autocommit connection of a pool what `connect` returns.

    Poolers are not looked at: a process has called `connect` before. Raises as `connect` does.
    """
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(QUERIES["unhurried"])
        await cursor.execute(QUERIES["settle"], _wanted(session))
        _suitable(connection, await cursor.fetchone())


def _wanted(session: Mapping[str, str]) -> dict[str, list[str]]:
    wanted = SESSION | dict(session)
    return {"names": list(wanted), "values": list(wanted.values())}


def _suitable(connection: Connection | AsyncConnection[Any], found: dict[str, Any] | None) -> int:
    """The backend's process id, if server and database can be used."""
    assert found is not None
    citus.note(connection, found["citus"])
    if found["version"] < OLDEST_VERSION:
        raise UnsuitableDatabaseError(
            f"PostgreSQL {found['version'] // VERSIONS_A_MAJOR} is too old,"
            f" {OLDEST_VERSION // VERSIONS_A_MAJOR} or newer is needed"
        )
    if found["encoding"] != ENCODING:
        raise UnsuitableDatabaseError(
            f"the database is encoded in {found['encoding']}, which cannot hold every reading;"
            f" it must be {ENCODING}: CREATE DATABASE ... ENCODING '{ENCODING}' TEMPLATE template0"
        )
    return int(found["pid"])
