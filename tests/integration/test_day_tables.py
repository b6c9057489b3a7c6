"""What operators do to day tables: readings go on, or one line names the table that keeps them."""

import re
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from ingest_worker.loop.writing import describe
from ingest_worker.write import known_days
from ingest_worker.write.sink import Sink
from sql.errors import DayDetachedError, DaysUnavailableError
from tests.connections import connect
from tests.rights import all_by_owner
from tests.sinks import parts
from tests.stored import Books, Stored, books, history, reading


@pytest.fixture
def own_environment(own_environment: dict[str, str]) -> dict[str, str]:
    """Operators change tables here: the tables' owner does everything."""
    return all_by_owner(own_environment)


HISTORY = "meter_telemetry_history"
DAY = f"{HISTORY}_2026_01_30"
OTHER_DAY = f"{HISTORY}_2026_01_31"
ONE, TWO = Stored("A", "30 12:01", 1.0), Stored("A", "30 12:02", 1.0)

Ddl = Callable[[str], None]


@pytest.fixture
def ddl(database: psycopg.Connection[Any]) -> Ddl:
    """Run a statement of an operator's."""

    def run(statement: str) -> None:
        database.execute(statement.encode())

    return run


def rows_of(database: psycopg.Connection[Any], table: str) -> int:
    row = database.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
    assert row
    return int(row[0])


def detach(name: str = DAY) -> str:
    return f"ALTER TABLE {HISTORY} DETACH PARTITION {name}"


def attach(name: str = DAY, day: int = 30) -> str:
    return (
        f"ALTER TABLE {HISTORY} ATTACH PARTITION {name}"
        f" FOR VALUES FROM ('2026-01-{day}Z') TO ('2026-01-{day + 1}Z')"
    )


def test_a_detached_day_swallows_nothing(
    sink: Sink,
    database: psycopg.Connection[Any],
    own_environment: dict[str, str],
    ddl: Ddl,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The sink that knew the day before it was detached finds out, as does one that did not."""
    sink.flush(parts(reading("A", 1)))
    ddl(detach())
    with pytest.raises(DayDetachedError, match="meter_telemetry_history_2026_01_30"):
        sink.flush(parts(reading("A", 2), start=1))
    assert books(database).next_offset == 1
    sink.flush(parts(reading("A", 2), reading("A", 1), start=1))
    assert f"{DAY} was not attached to {HISTORY}" in caplog.text
    assert history(database) == [ONE, TWO]
    assert books(database) == Books(3, read=3, stored=2, duplicate=1, rejected=0)


def test_a_day_that_was_restored_is_attached_when_its_readings_come(
    sink: Sink, database: psycopg.Connection[Any], ddl: Ddl
) -> None:
    ddl(f"CREATE TABLE {DAY} (LIKE {HISTORY})")
    ddl(f"INSERT INTO {DAY} VALUES (1, '2026-01-30 12:01Z', 230.5, 'A')")
    sink.flush(parts(reading("A", 1), reading("A", 2)))
    assert history(database) == [ONE, TWO]
    assert books(database) == Books(2, read=2, stored=1, duplicate=1, rejected=0)


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        (f"CREATE TABLE {DAY} (meter_id text)", f"child table is missing column.*{DAY}"),
        (
            f"CREATE TABLE {DAY} (LIKE {HISTORY}); INSERT INTO {DAY} VALUES (1, now(), 1, 'A')",
            f'partition constraint of relation "{DAY}" is violated',
        ),
        (f"CREATE VIEW {DAY} AS SELECT 1 AS one", f"{DAY} has the name of the partition"),
        (
            f"CREATE TABLE week PARTITION OF {HISTORY}"
            " FOR VALUES FROM ('2026-01-30 06:00Z') TO ('2026-02-05Z')",
            'would overlap partition "week"',
        ),
    ],
    ids=["another table", "rows of other days", "a view", "a part of the day"],
)
def test_what_is_in_a_days_way_is_named_and_other_days_go_on(
    sink: Sink, database: psycopg.Connection[Any], ddl: Ddl, statement: str, why: str
) -> None:
    ddl(statement)
    with pytest.raises(DaysUnavailableError, match=why):
        sink.flush(parts(reading("A", 1)))
    assert books(database).next_offset == 0
    sink.flush(parts(reading("A", 1, day=29)))
    assert rows_of(database, f"{HISTORY}_2026_01_29") == 1


@pytest.mark.parametrize(
    "statement",
    [
        f"ALTER TABLE {HISTORY} ADD wh float8 GENERATED ALWAYS AS (kwh_consumed_ac * 1000) STORED",
        f"ALTER TABLE {HISTORY} ADD site text NOT NULL DEFAULT 'here'",
        f"ALTER TABLE {HISTORY} ADD seen_at timestamptz DEFAULT now(), ADD CHECK (voltage < 490)",
        f"CREATE INDEX ON {HISTORY} (kwh_consumed_ac)",
        f'CREATE UNIQUE INDEX ON {HISTORY} (voltage, meter_id, "timestamp")',
        f"CREATE STATISTICS volts ON voltage, kwh_consumed_ac FROM {HISTORY}",
        f"ALTER TABLE {HISTORY} ALTER meter_id SET STORAGE PLAIN, ALTER voltage SET STATISTICS 500",
        f"COMMENT ON COLUMN {HISTORY}.voltage IS 'volts'",
        f"CREATE VIEW volts AS SELECT voltage FROM {HISTORY}",
        f"CREATE PUBLICATION p_{{database}} FOR TABLE {HISTORY}, meter_live_state, ingest_offsets",
        f"ALTER TABLE {HISTORY} RENAME CONSTRAINT {HISTORY}_pkey TO the_key",
        "CREATE TABLE audit (at timestamptz DEFAULT now());"
        " CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN INSERT INTO audit DEFAULT VALUES; RETURN NULL; END $$;"
        f" CREATE TRIGGER note AFTER INSERT ON {HISTORY} FOR EACH ROW EXECUTE FUNCTION note()",
        f"CREATE SCHEMA old; CREATE TABLE old.{DAY} (LIKE {HISTORY}); CREATE TABLE old.any (x int)",
        f"ALTER TABLE {HISTORY} ADD number bigint GENERATED BY DEFAULT AS IDENTITY",
    ],
    ids=lambda text: " ".join(text.replace(HISTORY, "history").split()[:6]),
)
def test_what_operators_add_stops_no_new_day(
    sink: Sink, database: psycopg.Connection[Any], ddl: Ddl, statement: str
) -> None:
    sink.flush(parts(reading("A", 1, day=29)))
    ddl(statement.replace("{database}", database.info.dbname))
    sink.flush(parts(reading("A", 1), reading("A", 2, day=29), reading("A", 1), start=1))
    assert [row.time for row in history(database)] == ["29 12:01", "29 12:02", "30 12:01"]
    assert books(database) == Books(4, read=4, stored=3, duplicate=1, rejected=0)
    assert rows_of(database, DAY) == 1


@pytest.mark.parametrize("schema", ["public", "elsewhere"])
def test_a_partition_that_was_renamed_or_moved_is_written_to(
    sink: Sink, database: psycopg.Connection[Any], ddl: Ddl, schema: str
) -> None:
    sink.flush(parts(reading("A", 1)))
    if schema == "public":
        ddl(f'ALTER TABLE {DAY} RENAME TO "The 30th"')
    else:
        ddl(f"CREATE SCHEMA elsewhere; ALTER TABLE {DAY} SET SCHEMA elsewhere")
    with pytest.raises(psycopg.errors.UndefinedTable):
        sink.flush(parts(reading("A", 2), start=1))
    sink.flush(parts(reading("A", 2), start=1))
    assert history(database) == [ONE, TWO]


def test_a_partition_of_several_days_is_written_to(
    sink: Sink, database: psycopg.Connection[Any], ddl: Ddl
) -> None:
    ddl(
        f"CREATE TABLE january PARTITION OF {HISTORY}"
        " FOR VALUES FROM ('2026-01-01Z') TO ('2026-02-01Z')"
    )
    sink.flush(parts(reading("A", 1), reading("A", 1, day=29)))
    assert rows_of(database, "january") == 2


def test_a_default_partition_takes_only_days_that_it_holds_rows_of(
    sink: Sink, database: psycopg.Connection[Any], ddl: Ddl
) -> None:
    ddl(f"CREATE TABLE rest PARTITION OF {HISTORY} DEFAULT")
    ddl(f"INSERT INTO {HISTORY} VALUES (1, '2026-01-30 12:01Z', 230.5, 'A')")
    sink.flush(parts(reading("A", 1), reading("A", 2), reading("A", 1, day=29)))
    assert rows_of(database, "rest") == 2
    assert rows_of(database, f"{HISTORY}_2026_01_29") == 1
    assert books(database) == Books(3, read=3, stored=2, duplicate=1, rejected=0)


def test_a_day_on_its_way_out_is_not_brought_back_by_a_reading(
    sink: Sink, database: psycopg.Connection[Any], own_environment: dict[str, str], ddl: Ddl
) -> None:
    sink.flush(parts(reading("A", 1)))
    ddl(f"INSERT INTO retired_days VALUES ('{HISTORY}', '2026-01-30', 0, now(), '{DAY}'::regclass)")
    ddl(detach())
    sink.take({})
    with pytest.raises(DaysUnavailableError, match=f"{DAY} is on its way out of {HISTORY}"):
        sink.flush(parts(reading("A", 2), start=1))


def test_a_lock_on_history_keeps_only_days_without_a_partition(
    sink: Sink, database: psycopg.Connection[Any], own_environment: dict[str, str]
) -> None:
    sink.flush(parts(reading("A", 1)))
    with connect(own_environment) as operator:
        operator.execute("SET application_name = 'nightly'")
        operator.execute("BEGIN")
        operator.execute(f"ANALYZE {HISTORY}".encode())
        sink.take({})  # that the day is there is forgotten
        late = [reading("A", 1, day=day) for day in (7, 8)]
        with pytest.raises(DaysUnavailableError) as caught:
            sink.flush(parts(reading("A", 2), *late, start=1))
        sink.flush(parts(reading("A", 2), start=1))
        (reasons,) = caught.value.days.values()
        assert len(reasons) == 2
        for why, day in zip(reasons.values(), (7, 8), strict=True):
            assert f"no partition for 2026-01-0{day}" in why
            assert f"process {operator.info.backend_pid} (nightly, since" in why
            assert f"ANALYZE {HISTORY}" in why
        with pytest.raises(DaysUnavailableError, match="nightly"):
            sink.flush(parts(reading("A", 1, day=9), start=2))
    sink._days["meter"]._locked = None  # its pause is over
    sink.flush(parts(reading("A", 1, day=7), start=2))
    assert books(database).stored == 3


@pytest.mark.parametrize("known", [True, False])
def test_a_lock_on_one_days_table_keeps_only_that_day(
    sink: Sink,
    database: psycopg.Connection[Any],
    own_environment: dict[str, str],
    known: bool,
) -> None:
    """As VACUUM FULL or CREATE INDEX of a day hold it; the sink may know the day or not."""
    sink.flush(parts(reading("A", 1), reading("A", 1, day=7)))
    if not known:
        sink.take({})
    with connect(own_environment) as operator:
        operator.execute("BEGIN")
        operator.execute(f"LOCK TABLE {HISTORY}_2026_01_07 IN ACCESS EXCLUSIVE MODE".encode())
        for _ in range(2):
            with pytest.raises(DaysUnavailableError) as caught:
                sink.flush(parts(reading("A", 2), reading("A", 2, day=7), start=2))
            ((why,),) = (reasons.values() for reasons in caught.value.days.values())
            assert why.startswith(f"{HISTORY}_2026_01_07 takes no readings: locked by process")
            assert f"process {operator.info.backend_pid} (" in why
        sink.flush(parts(reading("A", 2), start=2))
    sink._days["meter"]._locked_days.clear()  # their pause is over
    sink.flush(parts(reading("A", 2, day=7), start=3))
    assert books(database).stored == 4


def test_a_lock_on_another_table_is_named(
    sink: Sink, database: psycopg.Connection[Any], own_environment: dict[str, str]
) -> None:
    with connect(own_environment) as operator:
        operator.execute("BEGIN")
        operator.execute("LOCK TABLE meter_live_state IN SHARE MODE")
        with pytest.raises(psycopg.errors.LockNotAvailable) as caught:
            sink.flush(parts(reading("A", 1)))
        who = f"meter_live_state: locked by process {operator.info.backend_pid}"
        assert who in describe(caught.value)
    sink.flush(parts(reading("A", 1)))
    assert books(database).stored == 1


def test_a_table_that_takes_long_to_attach_is_not_tried_in_every_flush(
    sink: Sink, database: psycopg.Connection[Any], ddl: Ddl, monkeypatch: pytest.MonkeyPatch
) -> None:
    ddl(
        "CREATE FUNCTION slow(at timestamptz) RETURNS int IMMUTABLE LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_sleep(1); RETURN 1; END $$;"
        f' CREATE INDEX slow ON {HISTORY} (slow("timestamp"))'
    )
    ddl(
        f"CREATE TABLE {DAY} (LIKE {HISTORY}); INSERT INTO {DAY} SELECT 1,"
        " '2026-01-30Z'::timestamptz + n * interval '1 s', 1, 'A' FROM generate_series(1, 5) n"
    )
    monkeypatch.setattr(known_days, "STATEMENT_TIMEOUT_S", 2)
    with pytest.raises(DaysUnavailableError, match="statement timeout"):
        sink.flush(parts(reading("A", 1)))
    monkeypatch.setattr(known_days, "STATEMENT_TIMEOUT_S", 20)
    with pytest.raises(DaysUnavailableError, match="statement timeout"):
        sink.flush(parts(reading("A", 1)))
    ddl("DROP INDEX slow")
    ddl(attach())
    sink.flush(parts(reading("A", 1)))
    assert books(database).stored == 1


def test_an_outage_keeps_no_day(sink: Sink, database: psycopg.Connection[Any]) -> None:
    """A server that takes no rows at all is waited for, whatever the day."""
    connection = sink._connect()
    connection.execute("SET default_transaction_read_only = on")
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        sink.flush(parts(reading("A", 1)))


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        (f"ALTER TABLE {HISTORY} ADD site text NOT NULL", 'null value in column "site"'),
        (
            f"ALTER TABLE {HISTORY} ADD site text CONSTRAINT known CHECK (site IS NOT NULL)",
            'violates check constraint "known"',
        ),
        (
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE 'not after the audit'; END $$;"
            f" CREATE TRIGGER refuse BEFORE INSERT ON {HISTORY}"
            " FOR EACH ROW EXECUTE FUNCTION refuse()",
            "not after the audit",
        ),
    ],
    ids=["NOT NULL", "a constraint", "a trigger"],
)
def test_what_refuses_every_row_is_named_by_each_rejection(
    sink: Sink, database: psycopg.Connection[Any], ddl: Ddl, statement: str, why: str
) -> None:
    ddl(statement)
    sink.flush(parts(reading("A", 1), reading("A", 2)))
    details = database.execute("SELECT detail FROM rejected_records").fetchall()
    assert len(details) == 2
    assert all(why in detail for (detail,) in details)
    assert books(database) == Books(2, read=2, stored=0, duplicate=0, rejected=2)


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("ALTER TABLE meter_live_state RENAME TO mislaid", 'relation "meter_live_state" does not'),
        (f"ALTER TABLE {HISTORY} DROP voltage", 'column "voltage" of relation'),
        (
            "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN INSERT INTO no_such_table VALUES (1); RETURN NEW; END $$;"
            f" CREATE TRIGGER broken BEFORE INSERT ON {HISTORY}"
            " FOR EACH ROW EXECUTE FUNCTION broken()",
            "no_such_table.*broken()",
        ),
        (
            "CREATE PUBLICATION p_{database} FOR TABLE meter_live_state (voltage);"
            " ALTER TABLE meter_live_state REPLICA IDENTITY FULL",
            'cannot update table "meter_live_state"',
        ),
    ],
    ids=["a renamed table", "a dropped column", "a broken trigger", "a publication"],
)
def test_what_stops_every_statement_is_waited_for_and_named(
    sink: Sink, database: psycopg.Connection[Any], ddl: Ddl, statement: str, why: str
) -> None:
    sink.flush(parts(reading("A", 1)))
    ddl(statement.replace("{database}", database.info.dbname))
    with pytest.raises(psycopg.Error) as caught:
        sink.flush(parts(reading("A", 2), start=1))
    assert re.search(why, describe(caught.value))
    assert books(database).next_offset == 1
