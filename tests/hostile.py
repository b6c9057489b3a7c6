"""Defaults that are the opposite of what our statements depend on.

Set of a database, as an administrator may have done for another program's sake; and those of a
client's environment. With HOSTILE_DATABASE=1 in the environment every test's database has them.
"""

import os

from psycopg import sql

from tests.connections import connect

HOSTILE_RUN = os.environ.get("HOSTILE_DATABASE") == "1"

DATABASE = {
    "datestyle": "German",
    "intervalstyle": "sql_standard",
    "timezone": "Asia/Kathmandu",
    "client_encoding": "SQL_ASCII",
    "search_path": "nowhere",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "session_replication_role": "replica",
    "array_nulls": "off",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "standard_conforming_strings": "off",
    "transform_null_equals": "on",
    "quote_all_identifiers": "on",
    "row_security": "off",
    "xmloption": "document",
    "exit_on_error": "on",
    "statement_timeout": "20ms",
    "lock_timeout": "1ms",
    "transaction_timeout": "100ms",
    "idle_in_transaction_session_timeout": "1ms",
    "idle_session_timeout": "1s",
}
"""The limits of time leave room for a connection's first statement on a busy machine."""
PLANS = {
    "enable_indexscan": "off",
    "enable_indexonlyscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_hashagg": "off",
    "enable_partition_pruning": "off",
    "constraint_exclusion": "off",
    "plan_cache_mode": "force_generic_plan",
    "work_mem": "64kB",
    "jit_above_cost": "0",
}
"""Bad plans: no answer depends on them, only the time it takes."""
CLIENT = {
    "PGDATESTYLE": "German",
    "PGTZ": "Asia/Kathmandu",
    "PGCLIENTENCODING": "LATIN1",
    "PGOPTIONS": "-c search_path=nowhere -c intervalstyle=iso_8601",
    "PGAPPNAME": "energy-worker",
    "PGUSER": "nobody",
    "PGPASSWORD": "wrong",
    "PGDATABASE": "nowhere",
    "PGPORT": "1",
}
"""What libpq takes from the environment of a process."""


def make_hostile(environment: dict[str, str], **more: str) -> None:
    """Give the environment's database these defaults, for all connections from now on.

    A parameter that the server does not know is left out.
    """
    name = sql.Identifier(environment["DB_DATABASE"])
    with connect(environment) as connection:
        known = connection.execute("SELECT name FROM pg_settings").fetchall()
        lower = {name.lower() for (name,) in known}
        for parameter, value in (DATABASE | more).items():
            if parameter in lower:
                statement = sql.SQL("ALTER DATABASE {} SET {} = {}")
                words = (name, sql.Identifier(parameter), sql.Literal(value))
                connection.execute(statement.format(*words))
