"""Every connection sets what our statements depend on, whatever the server has by default."""

import asyncio
import secrets
from typing import Any

import psycopg
import pytest

from schemas.streams import METER
from sql.connect import SESSION, connect, settle
from sql.store import create_days
from tests.connections import connect as connect_for_tests
from tests.connections import conninfo
from tests.hostile import DATABASE, make_hostile
from tests.workers import command

SHOW = "SELECT name, current_setting(name) FROM pg_settings WHERE lower(name) = ANY (%s)"
TABLES = """
    SELECT count(*) FROM pg_class JOIN pg_namespace AS space ON space.oid = relnamespace
    WHERE nspname = 'energy' AND relname LIKE 'meter_telemetry_history%'
        AND relkind IN ('p', 'r')
"""


def settings_of(connection: psycopg.Connection[Any], names: list[str]) -> dict[str, str]:
    return {name.lower(): value for name, value in connection.execute(SHOW, (names,)).fetchall()}


def test_hostile_defaults_are_set_right(own_environment: dict[str, str]) -> None:
    make_hostile(own_environment)
    where = conninfo(own_environment)
    asked = {"statement_timeout": "8s", "lock_timeout": "5s", "a_parameter_of_the_future": "1"}
    assert SESSION.keys() <= DATABASE.keys(), "each of them is hostile"
    with connect(where) as connection:
        found = settings_of(connection, list(SESSION))
        assert found == {name: SESSION[name] for name in found}
    with connect(where, asked) as connection:
        assert settings_of(connection, ["statement_timeout", "lock_timeout"]) == {
            "statement_timeout": "8s",
            "lock_timeout": "5s",
        }


def test_so_they_are_on_the_connections_of_a_pool(own_environment: dict[str, str]) -> None:
    make_hostile(own_environment)

    async def look() -> dict[str, str]:
        where = conninfo(own_environment)
        async with await psycopg.AsyncConnection.connect(where, autocommit=True) as connection:
            await settle(connection)
            rows = await connection.execute(SHOW, (list(SESSION),))
            return {name.lower(): value for name, value in await rows.fetchall()}

    found = asyncio.run(look())
    assert found == {name: SESSION[name] for name in found}


def test_a_role_without_rights_of_its_own_can_connect(own_environment: dict[str, str]) -> None:
    role = f"plain_{secrets.token_hex(4)}"
    with connect_for_tests(own_environment) as owner:
        owner.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'".encode())
        owner.execute(f"ALTER ROLE {role} SET datestyle = 'SQL, DMY'".encode())
        plain = own_environment | {"DB_USERNAME": role, "DB_PASSWORD": "secret"}
        with connect(conninfo(plain)) as connection:
            assert settings_of(connection, ["datestyle"]) == {"datestyle": "ISO, MDY"}
        owner.execute(f"DROP ROLE {role}".encode())


@pytest.mark.parametrize("path", ["nowhere", "public", '"$user", public'])
def test_tables_are_found_in_whatever_schema_they_are(
    own_environment: dict[str, str], path: str
) -> None:
    with connect_for_tests(own_environment) as owner:
        owner.execute("ALTER SCHEMA public RENAME TO energy")
        owner.execute("CREATE SCHEMA public")
        database = own_environment["DB_DATABASE"]
        owner.execute(f"ALTER DATABASE {database} SET search_path = {path}".encode())
    assert command(own_environment, "sql", "migrate").returncode == 0
    with connect(conninfo(own_environment)) as connection:
        create_days(connection, METER, [9_500])
        assert connection.execute(TABLES).fetchone() == (2,)
