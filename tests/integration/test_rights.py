"""Rights of roles that own nothing: each can do its work, and nothing beside it.

All other tests run the software under these roles, too; here is what is kept from them.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import errors, sql

from devstack.citus import nodes_of
from ingest_worker.connections import Connections
from ingest_worker.housekeeping.rounds import do_rounds
from sql.grant import FUNCTIONS, HISTORIES
from tests.connections import connect
from tests.kafka import send
from tests.readings import meter_value
from tests.rights import API, OWNER, READER, WORKER, role, where
from tests.settings import settings_of
from tests.workers import WorkerProcess, books, command, counted, wait_until

NOW = datetime.now(UTC)
HISTORY = "meter_telemetry_history"
TODAY = NOW.date()
OLD = TODAY - timedelta(days=9)
REFUSED = (errors.InsufficientPrivilege, errors.ObjectNotInPrerequisiteState)
WRITES = ("INSERT", "UPDATE", "DELETE", "TRUNCATE", "TRIGGER", "REFERENCES")


def table_of(day: Any) -> str:
    return f"{HISTORY}_{day:%Y_%m_%d}"


@pytest.fixture
def worker(own_environment: dict[str, str]) -> Iterator[psycopg.Connection[Any]]:
    """Somebody who got hold of a worker's credentials."""
    with psycopg.connect(where(own_environment), autocommit=True) as connection:
        yield connection


@pytest.fixture
def owner(own_environment: dict[str, str]) -> Iterator[psycopg.Connection[Any]]:
    where_owner = where(role(own_environment, OWNER))
    with psycopg.connect(where_owner, autocommit=True) as connection:
        yield connection


@pytest.fixture
def somebody(own_environment: dict[str, str]) -> Iterator[str]:
    """A role without any right, whose name must be quoted."""
    name = f'Some "body" {own_environment["DB_DATABASE"]}'
    quoted = sql.Identifier(name)
    with connect(own_environment) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'of-a-test'").format(quoted))
        yield name
        admin.execute(sql.SQL("DROP OWNED BY {}").format(quoted))
        admin.execute(sql.SQL("DROP ROLE {}").format(quoted))


def may(connection: psycopg.Connection[Any], who: str, what: str, table: str) -> bool:
    row: Any = connection.execute(
        "SELECT has_table_privilege(%s, %s, %s)", (who, table, what)
    ).fetchone()
    return bool(row[0])


def test_nobody_but_the_owner_changes_history_or_keys(
    own_environment: dict[str, str], owner: psycopg.Connection[Any]
) -> None:
    for history in HISTORIES:
        owner.execute("SELECT ensure_day_partition(%s, %s)", (history, TODAY))
    tables = {*HISTORIES, *(f"{history}_{TODAY:%Y_%m_%d}" for history in HISTORIES)}
    for table in tables:
        for who in (WORKER, API, READER):
            held = {what for what in WRITES if may(owner, who, what, table)}
            assert held == (set() if who == READER else {"INSERT"}), (who, table)
            assert may(owner, who, "SELECT", table)
    for who in (WORKER, API, READER):
        assert not [what for what in WRITES if may(owner, who, what, "api_keys")]
    for table in ("api_keys", "api_sign_ins", "rejected_records"):
        assert not may(owner, READER, "SELECT", table)
    for table in ("api_keys", "api_sign_ins"):
        assert not may(owner, WORKER, "SELECT", table)


def test_status_tells_what_is_missing_and_what_is_too_much_and_grant_puts_it_right(
    own_environment: dict[str, str],
) -> None:
    assert command(own_environment, "sql", "status").returncode == 0
    with connect(own_environment) as admin:
        admin.execute(f"GRANT DELETE ON meters, {HISTORY} TO {WORKER}".encode())
        admin.execute(f"GRANT SELECT (raw) ON rejected_records TO {READER}".encode())
        admin.execute(f"REVOKE INSERT ON rollup_log FROM {API}".encode())
        admin.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
        admin.execute("GRANT EXECUTE ON FUNCTION drop_day TO PUBLIC")
    done = command(own_environment, "sql", "status", "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    migrations = found["migrations"] if nodes_of(own_environment) else found
    assert all(migration["appliedAt"] for migration in migrations)
    for line in (
        f"{WORKER} (worker) should not have DELETE on table {HISTORY}",
        f"{WORKER} (worker) should not have DELETE on table meters",
        f"{READER} (reader) should not have SELECT (raw) on table rejected_records",
        f"{API} (api) lacks INSERT on table rollup_log",
        "should not have CREATE on schema public",
        "should not have EXECUTE on function drop_day(",
    ):
        assert line in done.stderr
    done = command(own_environment, "sql", "grant", "--api", API)
    assert done.returncode == 0, done.stderr
    assert command(own_environment, "sql", "status").returncode == 0
    done = command(own_environment, "sql", "grant", "--worker", WORKER, "--reader", READER)
    assert done.returncode == 0, done.stderr
    assert command(own_environment, "sql", "status").returncode == 0


def test_migrating_gives_roles_what_they_need_by_now(own_environment: dict[str, str]) -> None:
    with connect(own_environment) as admin:
        admin.execute(f"REVOKE ALL ON api_sign_ins FROM {API}".encode())
        assert command(own_environment, "sql", "migrate").returncode == 0
        assert may(admin, API, "DELETE", "api_sign_ins")


def test_one_role_may_be_both_and_its_name_may_be_odd(
    own_environment: dict[str, str], somebody: str
) -> None:
    done = command(own_environment, "sql", "grant", "--worker", somebody, "--api", somebody)
    assert done.returncode == 0, done.stderr
    assert command(own_environment, "sql", "status").returncode == 0
    with connect(own_environment) as admin:
        assert may(admin, somebody, "MAINTAIN", HISTORY)
        assert may(admin, somebody, "SELECT", "api_keys")


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ("ALTER ROLE {role} SUPERUSER", "is a superuser"),
        ("GRANT {owner} TO {role}", "is a member of the role that does"),
        ("ALTER ROLE {role} SET role TO {owner}", "acts as another role"),
        ("SELECT 1", None),
    ],
)
def test_roles_that_no_right_can_be_kept_from_are_refused(
    own_environment: dict[str, str], somebody: str, made: str, why: str | None
) -> None:
    words = {"role": sql.Identifier(somebody), "owner": sql.Identifier(OWNER)}
    with connect(own_environment) as admin:
        admin.execute(sql.SQL(made).format(**words))
    done = command(own_environment, "sql", "grant", "--worker", somebody)
    assert done.returncode == (1 if why else 0)
    if why:
        assert done.stderr.splitlines()[-1].startswith(f"error: {somebody} ")
        assert why in done.stderr
        with connect(own_environment) as admin:
            remembered = admin.execute("SELECT role FROM granted_roles").fetchall()
        assert (somebody,) not in remembered


def test_bad_input_of_grant_is_told(own_environment: dict[str, str]) -> None:
    done = command(own_environment, "sql", "grant", "--worker", "nobody_here")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        1,
        "error: nobody_here is no role: make it by CREATE ROLE ... LOGIN",
    )
    done = command(own_environment, "sql", "grant")
    assert done.returncode == 2


def test_a_worker_cannot_make_partitions_of_anything_else(
    worker: psycopg.Connection[Any], owner: psycopg.Connection[Any]
) -> None:
    owner.execute("CREATE SCHEMA elsewhere")
    owner.execute(f"CREATE TABLE elsewhere.{HISTORY} (LIKE {HISTORY})".encode())
    owner.execute("CREATE TABLE split (LIKE meters) PARTITION BY RANGE (created_at)")
    before = owner.execute("SELECT oid, relname, relacl FROM pg_class ORDER BY oid").fetchall()
    for history in (
        "api_keys",
        "meters",
        "split",
        "pg_class",
        f"elsewhere.{HISTORY}",
        f"public.{HISTORY}",
        f'{HISTORY}"; DROP TABLE meters; --',
        f"{HISTORY}'",
        "",
        None,
    ):
        for function in FUNCTIONS["api"]:
            with pytest.raises(REFUSED):
                worker.execute(f"SELECT {function}(%s, %s)".encode(), (history, TODAY))
    for day in ("infinity", "-infinity", "9999-12-31", "0001-01-01 BC", "1899-12-31", None):
        with pytest.raises(REFUSED):
            worker.execute("SELECT ensure_day_partition(%s, %s::date)", (HISTORY, day))
    after = owner.execute("SELECT oid, relname, relacl FROM pg_class ORDER BY oid").fetchall()
    assert after == before


def test_what_a_worker_makes_for_itself_shadows_nothing(
    worker: psycopg.Connection[Any], owner: psycopg.Connection[Any]
) -> None:
    """Its temporary tables, functions and operators, and its search_path."""
    for statement in (
        "CREATE TEMP TABLE ingest_offsets (relnamespace oid)",
        "CREATE TEMP TABLE retired_days (history text, day date, rows bigint, announced oid)",
        "CREATE TEMP TABLE pg_class (oid oid, relname text)",
        f"CREATE TEMP TABLE {HISTORY} (a int)",
        """CREATE FUNCTION pg_temp.day_in_name(text, text) RETURNS date LANGUAGE plpgsql
            AS $$BEGIN RAISE 'caught as %', current_user; END$$""",
        """CREATE FUNCTION pg_temp.caught(text, text) RETURNS text LANGUAGE plpgsql
            AS $$BEGIN RAISE 'caught as %', current_user; END$$""",
        "CREATE OPERATOR pg_temp.|| (LEFTARG = text, RIGHTARG = text, FUNCTION = pg_temp.caught)",
        "SET search_path = pg_temp, pg_catalog, public",
    ):
        worker.execute(statement.encode())
    row: Any = worker.execute(
        "SELECT space, how FROM public.ensure_day_partition(%s, %s)", (HISTORY, OLD)
    ).fetchone()
    assert row == ("public", "created")
    worker.execute(
        "INSERT INTO pg_temp.retired_days SELECT 'meter_telemetry_history', %s, 0, %s::regclass",
        (OLD, f"public.{table_of(OLD)}"),
    )
    with pytest.raises(REFUSED):
        worker.execute(
            "SELECT public.detach_day(%s, %s::regclass)", (HISTORY, f"public.{table_of(OLD)}")
        )
    attached = owner.execute(
        "SELECT relispartition FROM pg_class WHERE relname = %s", [table_of(OLD)]
    )
    assert attached.fetchone() == (True,)


def test_only_what_was_announced_and_is_over_goes(
    worker: psycopg.Connection[Any], owner: psycopg.Connection[Any]
) -> None:
    """Also when it is announced by somebody who has the worker's credentials."""
    today = datetime.now(UTC).date()  # which may not be TODAY any more
    days = (OLD, today - timedelta(days=1), today)
    for day in days:
        worker.execute("SELECT ensure_day_partition(%s, %s)", (HISTORY, day))
    owner.execute("CREATE TABLE theirs (a int)")
    owner.execute(f"CREATE TABLE copied (LIKE {HISTORY})".encode())

    def announce(table: str, day: Any) -> None:
        worker.execute(
            "INSERT INTO retired_days (history, day, rows, announced)"
            " VALUES (%s, %s, 0, %s::regclass)"
            " ON CONFLICT (history, day) DO UPDATE SET announced = EXCLUDED.announced",
            (HISTORY, day, table),
        )

    def try_to_drop(table: str, day: Any) -> None:
        for statement, values in (
            ("SELECT detach_day(%s, %s::regclass)", (HISTORY, table)),
            ("SELECT drop_day(%s, %s::regclass, %s)", (HISTORY, table, day)),
        ):
            with pytest.raises(REFUSED):
                worker.execute(statement, values)

    try_to_drop(table_of(OLD), OLD)
    for day in days[1:]:
        announce(table_of(day), day)
        try_to_drop(table_of(day), day)
    for table in ("theirs", "copied", "api_keys", "meters", HISTORY):
        announce(table, OLD)
        try_to_drop(table, OLD)
    owner.execute(f"ALTER TABLE {table_of(OLD)} RENAME TO renamed".encode())
    announce("renamed", OLD)
    try_to_drop("renamed", OLD)
    owner.execute(f"ALTER TABLE renamed RENAME TO {table_of(OLD)}".encode())
    announce(table_of(OLD), OLD)
    worker.execute("SELECT detach_day(%s, %s::regclass)", (HISTORY, table_of(OLD)))
    row = worker.execute(
        "SELECT drop_day(%s, %s::regclass, %s)", (HISTORY, table_of(OLD), OLD)
    ).fetchone()
    assert row == (0,)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE public.mine (a int)",
        f"DELETE FROM {HISTORY}",
        f"UPDATE {HISTORY} SET voltage = 1",
        f"TRUNCATE {HISTORY}",
        f"DROP TABLE {HISTORY}",
        "UPDATE rejected_records SET raw = NULL",
        "UPDATE charging_sessions SET meter_id = 'B'",
        "UPDATE meters SET energy_reading = 'register'",
        "UPDATE retired_days SET rows = 7",
        "SELECT hash FROM api_keys",
        "SELECT hash FROM api_sign_ins",
        "INSERT INTO api_keys (id, name, role, hash) VALUES ('a', 'a', 'operator', '')",
        "INSERT INTO granted_roles VALUES ('api', 'test_worker')",
        "SET session_replication_role = replica",
        f"SET ROLE {OWNER}",
        f"ALTER FUNCTION drop_day OWNER TO {WORKER}",
    ],
)
def test_a_worker_may_not(worker: psycopg.Connection[Any], statement: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        worker.execute(statement.encode())


def test_a_worker_that_owns_nothing_retires_and_packs_days(
    own_environment: dict[str, str],
) -> None:
    days = [NOW - timedelta(days=days) for days in (9, 8, 3)]
    with WorkerProcess(own_environment) as process:
        send(own_environment, *(meter_value("M", at) for at in days))
        wait_until(lambda: counted(own_environment)["stored"] == 3, "all is stored")
        assert process.terminate() == 0
    settings = settings_of(own_environment, retention_days=5)
    with connect(own_environment) as connection:
        wait_until(lambda: _round(settings, connection, "packing"), "a day is packed")
        assert _round(settings, connection, "retention")
        left = connection.execute(
            "SELECT relname FROM pg_class WHERE relname ~ %s AND relkind = 'r' AND NOT"
            " relname > %s",
            (f"^{HISTORY}_....", table_of(NOW - timedelta(days=1))),
        ).fetchall()
        assert left == [(table_of(days[-1]),)]
        packed = "SELECT day FROM packed_days WHERE key_bytes IS NOT NULL AND failed IS NULL"
        assert connection.execute(packed).fetchall() == [(days[-1].date(),)]
    assert books(own_environment)["total"]["stored"] == 3


def _round(settings: Any, connection: psycopg.Connection[Any], duty: str) -> bool:
    """Do a round; whether that duty was done in it, and something packed, if it is packing."""
    assert do_rounds(settings, Connections(), NOW)
    failing = connection.execute("SELECT duty, why FROM housekeeping_duties WHERE why IS NOT NULL")
    assert failing.fetchall() == []
    if duty != "packing":
        return True
    return bool(connection.execute("SELECT FROM packed_days WHERE key_bytes > 0").fetchall())


def test_a_right_that_is_missing_is_told_and_waited_for(own_environment: dict[str, str]) -> None:
    with connect(own_environment) as admin:
        admin.execute(f"REVOKE SELECT ON schema_migrations FROM {WORKER}".encode())
    with WorkerProcess(own_environment) as process:
        process.says("not ready: database: permission denied for table schema_migrations; `python")
        assert "Traceback" not in process.log
        assert command(own_environment, "sql", "grant", "--worker", WORKER).returncode == 0
        process.says("database: fine")
        with connect(own_environment) as admin:
            admin.execute(f"REVOKE INSERT ON meter_live_state FROM {WORKER}".encode())
        send(own_environment, meter_value("M"))
        process.says("not ready: database: 42501: permission denied for table meter_live_state")
        process.says("; `python -m sql status` says what its role lacks, `sql grant` gives it")
        assert command(own_environment, "sql", "grant", "--worker", WORKER).returncode == 0
        wait_until(lambda: counted(own_environment)["stored"] == 1, "it is stored")
        assert process.terminate() == 0


def test_older_code_leaves_rights_alone_that_newer_tables_need(
    own_environment: dict[str, str], owner: psycopg.Connection[Any]
) -> None:
    owner.execute(f"CREATE TABLE later (); GRANT INSERT ON later TO {WORKER}".encode())
    owner.execute("INSERT INTO schema_migrations VALUES ('9999_later.sql', '0', now(), '0005')")
    for words in (("migrate",), ("grant", "--worker", WORKER), ("status",)):
        done = command(own_environment, "sql", *words)
        assert done.returncode == 0, done.stderr
        held = owner.execute("SELECT has_table_privilege(%s, 'later', 'INSERT')", [WORKER])
        assert held.fetchone() == (True,), words
