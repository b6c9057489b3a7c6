"""Connections of the tests themselves, beside the software under test.

They are made as those of the software are: a test may run on a database with hostile defaults.
"""

from typing import Any

import psycopg
from psycopg.rows import DictRow, dict_row

from sql import connect as ours
from tests.rights import administrator, where


def connect(environment: dict[str, str]) -> psycopg.Connection[Any]:
    """An autocommit connection to the environment's database; times are UTC."""
    return ours.connect(conninfo(environment))


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
    connection = await psycopg.AsyncConnection.connect(
        conninfo(environment), autocommit=True, row_factory=dict_row
    )
    await ours.settle(connection)
    return connection


def conninfo(environment: dict[str, str]) -> str:
    """The connection string of the environment's database, for its administrator."""
    return where(administrator(environment))
