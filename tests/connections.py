"""Connections of the tests themselves, beside the software under test."""

from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import DictRow, dict_row


def connect(environment: dict[str, str]) -> psycopg.Connection[Any]:
    """An autocommit connection to the environment's database; times are UTC."""
    return psycopg.connect(_conninfo(environment), autocommit=True)


def waiting_for_locks(environment: dict[str, str]) -> int:
    """How many connections to the environment's database wait for a lock."""
    with connect(environment) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()"
        ).fetchone()
    assert row
    return int(row[0])


async def connect_async(environment: dict[str, str]) -> psycopg.AsyncConnection[DictRow]:
    """The same for coroutines; rows are dicts."""
    return await psycopg.AsyncConnection.connect(
        _conninfo(environment), autocommit=True, row_factory=dict_row
    )


def _conninfo(environment: dict[str, str]) -> str:
    return make_conninfo(
        host=environment["DB_HOST"],
        port=environment["DB_PORT"],
        user=environment.get("DB_USERNAME", "postgres"),
        password=environment.get("DB_PASSWORD", "postgres"),
        dbname=environment["DB_DATABASE"],
        options="-c timezone=UTC",
    )
