"""One flush against a real PostgreSQL: what it writes, what it refuses, what it survives."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg import errors

from ingest_worker.errors import FencedError
from ingest_worker.write.ledger import LOCK_TIMEOUT_S
from ingest_worker.write.sink import Sink
from schemas.streams import METER
from sql import store
from tests.connections import connect
from tests.readings import vehicle_value
from tests.sinks import METERS, VEHICLES, new_sink, parts
from tests.stored import Books, Rejected, Stored, books, history, reading, rejected

REFUSE = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.meter_id = 'M3' THEN RAISE EXCEPTION 'not this one'; END IF;
        RETURN NEW;
    END $$
"""
"""What a trigger of an operator's may do to a row."""


def test_rows_live_state_and_books_move_together(
    sink: Sink, database: psycopg.Connection[Any]
) -> None:
    outcome = sink.flush(parts(reading("B", 1), reading("A", 2, 5), reading("A", 1), b"junk"))
    assert history(database) == [
        Stored("A", "30 12:01", 1.0),
        Stored("A", "30 12:02", 5.0),
        Stored("B", "30 12:01", 1.0),
    ]
    live = database.execute(
        "SELECT meter_id, kwh_consumed_ac FROM meter_live_state ORDER BY 1"
    ).fetchall()
    assert live == [("A", 5.0), ("B", 1.0)]
    assert books(database) == Books(4, read=4, stored=3, duplicate=0, rejected=1)
    assert rejected(database) == [Rejected(3, None, "malformed", b"junk")]
    assert outcome["meters"].stored == 3


def test_duplicates_and_conflicts_within_and_across_flushes(
    sink: Sink, database: psycopg.Connection[Any]
) -> None:
    first, second = reading("A", 1), reading("A", 1, 9)
    sink.flush(parts(first, first, second))
    assert books(database) == Books(3, read=3, stored=1, duplicate=1, rejected=1)
    sink.flush(parts(second, first, reading("A", 0), start=3))
    assert books(database) == Books(6, read=6, stored=2, duplicate=2, rejected=2)
    assert rejected(database) == [
        Rejected(2, 0, "conflict", second),
        Rejected(3, 0, "conflict", second),
    ]
    detail = database.execute("SELECT detail FROM rejected_records LIMIT 1").fetchone()
    assert detail is not None
    assert detail[0].startswith("stored already with kwhConsumedAc 1, voltage 230.5")


def test_values_are_compared_as_stored(sink: Sink, database: psycopg.Connection[Any]) -> None:
    close = reading("A", 1).replace(b"230.5", b"230.50000001")
    sink.flush(parts(reading("A", 1), close, reading("A", 1, 0), reading("B", 1, 0)))
    sink.flush(parts(reading("B", 1).replace(b"1.0", b"-0.0"), start=4))
    assert books(database) == Books(5, read=5, stored=2, duplicate=2, rejected=1)


def test_what_another_worker_stored_is_found_out_by_the_key(
    sink: Sink, database: psycopg.Connection[Any], own_environment: dict[str, str]
) -> None:
    sink.flush(parts(reading("A", 1)))
    other = new_sink(own_environment)
    other.flush(parts(reading("A", 5), start=1))
    sink.flush(parts(reading("A", 5), reading("A", 6), start=2))
    assert books(database) == Books(4, read=4, stored=3, duplicate=1, rejected=0)
    other.close()


def test_a_batch_that_starts_elsewhere_changes_nothing(
    sink: Sink, database: psycopg.Connection[Any]
) -> None:
    sink.flush(parts(reading("A", 1)))
    for start in (0, 2):
        with pytest.raises(FencedError):
            sink.flush(parts(reading("A", 2), b"junk", start=start))
    assert books(database) == Books(1, read=1, stored=1, duplicate=0, rejected=0)
    assert history(database) == [Stored("A", "30 12:01", 1.0)]
    assert rejected(database) == []


def test_one_fenced_partition_rolls_back_the_whole_flush(
    sink: Sink, database: psycopg.Connection[Any]
) -> None:
    vehicle = vehicle_value("V", datetime(2026, 1, 30, 12, tzinfo=UTC))
    stale = parts(vehicle, start=7, source=VEHICLES)
    with pytest.raises(FencedError):
        sink.flush(parts(reading("A", 1)) + stale)
    assert books(database) == Books(0, read=0, stored=0, duplicate=0, rejected=0)
    assert history(database) == []


def test_a_row_postgresql_refuses_is_rejected_alone(
    sink: Sink, database: psycopg.Connection[Any]
) -> None:
    database.execute(
        "ALTER TABLE meter_live_state ADD CONSTRAINT operators CHECK (kwh_consumed_ac <> 13)"
    )
    database.execute(
        "ALTER TABLE meter_telemetry_history ADD CONSTRAINT operators CHECK (kwh_consumed_ac < 66)"
    )
    values = [reading(f"M{n}", n % 60, n) for n in range(70)]
    again = [b"junk", reading("M0", 0, 0), reading("M1", 1, 5)]
    sink.flush(parts(*values, *again))
    assert books(database) == Books(73, read=73, stored=65, duplicate=1, rejected=7)
    assert rejected(database, raw=False) == [
        *(Rejected(n, 0, "refused") for n in (13, 66, 67, 68, 69)),
        Rejected(70, None, "malformed"),
        Rejected(72, 0, "conflict"),
    ]
    detail = database.execute("SELECT detail FROM rejected_records WHERE reason = 'refused'")
    assert all(row[0].startswith("23514 new row for relation") for row in detail)
    assert len(history(database)) == 65


def test_what_a_rolled_back_flush_believed_is_forgotten(
    sink: Sink, database: psycopg.Connection[Any]
) -> None:
    database.execute(
        """CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = 'disk_full'; END $$"""
    )
    database.execute(
        "CREATE TRIGGER fail BEFORE UPDATE ON ingest_offsets FOR EACH ROW EXECUTE FUNCTION fail()"
    )
    with pytest.raises(errors.DiskFull):
        sink.flush(parts(reading("A", 1)))
    assert books(database) == Books(0, read=0, stored=0, duplicate=0, rejected=0)
    database.execute("DROP TRIGGER fail ON ingest_offsets")
    sink.flush(parts(reading("A", 1)))
    assert books(database) == Books(1, read=1, stored=1, duplicate=0, rejected=0)
    assert database.execute("SELECT meter_id FROM meter_live_state").fetchall() == [("A",)]


def test_pieces_of_a_refused_batch_are_told_apart(
    sink: Sink, database: psycopg.Connection[Any]
) -> None:
    database.execute(
        "ALTER TABLE meter_telemetry_history ADD CONSTRAINT operators CHECK (kwh_consumed_ac < 13)"
    )
    conflict = reading("A", 5, 2)
    refused = reading("X", 2, 13)
    rest = [reading("B", 0), reading("B", 9)]
    sink.flush(parts(reading("A", 5), conflict, refused, *rest))
    assert rejected(database) == [
        Rejected(1, 0, "conflict", conflict),
        Rejected(2, 0, "refused", refused),
    ]
    assert len(history(database)) == 3


@pytest.mark.no_citus
def test_a_trigger_that_raises_refuses_its_row(
    sink: Sink, database: psycopg.Connection[Any]
) -> None:
    database.execute(REFUSE)
    database.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON meter_live_state"
        " FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    sink.flush(parts(*(reading(f"M{n}", 1) for n in range(5))))
    assert books(database) == Books(5, read=5, stored=4, duplicate=0, rejected=1)
    assert rejected(database, raw=False) == [Rejected(3, 0, "refused")]


def test_a_day_partition_that_vanished_is_created_again(
    sink: Sink, database: psycopg.Connection[Any]
) -> None:
    sink.flush(parts(reading("A", 1)))
    database.execute("DROP TABLE meter_telemetry_history_2026_01_30")
    with pytest.raises(errors.UndefinedTable):
        sink.flush(parts(reading("A", 2), start=1))
    sink.flush(parts(reading("A", 2), start=1))
    assert books(database) == Books(2, read=2, stored=2, duplicate=0, rejected=0)
    assert history(database) == [Stored("A", "30 12:02", 1.0)]


def test_one_flush_may_touch_many_days(sink: Sink, database: psycopg.Connection[Any]) -> None:
    sink.flush(parts(*(reading("A", 1, day=day) for day in (3, 30, 1, 29))))
    assert [row.time for row in history(database)] == [
        f"{day} 12:01" for day in ("01", "03", "29", "30")
    ]
    live = database.execute("SELECT to_char(\"timestamp\", 'DD') FROM meter_live_state").fetchall()
    assert live == [("30",)]


def test_rejected_readings_read_again_are_duplicates(
    sink: Sink, database: psycopg.Connection[Any]
) -> None:
    sink.flush(parts(b"junk", b"[null,5]"))
    assert books(database) == Books(2, read=3, stored=0, duplicate=0, rejected=3)
    database.execute("UPDATE ingest_offsets SET next_offset = 0")
    sink.flush(parts(b"junk", b"[null,5]"))
    assert books(database) == Books(2, read=6, stored=0, duplicate=3, rejected=3)
    assert len(rejected(database)) == 3


def test_an_owner_frozen_in_its_transaction_is_ended(
    sink: Sink, database: psycopg.Connection[Any], own_environment: dict[str, str]
) -> None:
    frozen = new_sink(own_environment)
    connection = frozen._connect()
    connection.execute("BEGIN")
    connection.execute("SELECT * FROM ingest_offsets FOR UPDATE")
    connection.execute("UPDATE ingest_offsets SET updated_at = now()")
    began = time.monotonic()
    with pytest.raises(errors.LockNotAvailable):
        sink.take({METERS: 0})
    assert time.monotonic() - began >= LOCK_TIMEOUT_S
    sink.take({METERS: 0})
    sink.flush(parts(reading("A", 1)))
    with pytest.raises(psycopg.OperationalError):
        connection.execute("COMMIT")
    assert books(database).next_offset == 1
    frozen.close()


def test_only_workers_are_ended(
    sink: Sink, database: psycopg.Connection[Any], own_environment: dict[str, str]
) -> None:
    with connect(own_environment) as operator:
        operator.execute("BEGIN")
        operator.execute("SELECT * FROM ingest_offsets FOR UPDATE")
        with pytest.raises(errors.LockNotAvailable):
            sink.take({METERS: 0})
        operator.execute("COMMIT")


def test_an_aborted_call_raises_and_the_next_one_works(
    sink: Sink, database: psycopg.Connection[Any]
) -> None:
    sink.abort()
    with pytest.raises(psycopg.OperationalError):
        sink.flush(parts(reading("A", 1)))
    sink.flush(parts(reading("A", 1)))
    assert books(database).next_offset == 1


def quarantine_bytes(database: psycopg.Connection[Any]) -> int:
    found = database.execute("SELECT pg_total_relation_size('rejected_records')").fetchone()
    assert found is not None
    return int(found[0])


def test_a_full_quarantine_keeps_readings_without_their_bytes(
    sink: Sink, database: psycopg.Connection[Any], own_environment: dict[str, str]
) -> None:
    small = new_sink(own_environment, max_quarantine_bytes=quarantine_bytes(database))
    small.flush(parts(b"junk", reading("A", 1)))
    assert rejected(database) == [Rejected(0, None, "malformed", None)]
    assert books(database) == Books(2, read=2, stored=1, duplicate=0, rejected=1)
    small.close()


def test_many_may_create_the_same_day_at_once(
    database: psycopg.Connection[Any], own_environment: dict[str, str]
) -> None:
    def create(_: int) -> None:
        with connect(own_environment) as connection:
            for day in range(60):
                store.create_days(connection, METER, [9500 + day])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(create, range(4)))
    count = database.execute("SELECT count(*) FROM pg_inherits").fetchone()
    assert count
    assert count[0] >= 60


@pytest.mark.no_citus
def test_a_constraint_that_waits_for_commit_refuses_its_row_too(
    sink: Sink, database: psycopg.Connection[Any]
) -> None:
    database.execute(REFUSE)
    database.execute(
        "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON meter_live_state"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    sink.flush(parts(*(reading(f"M{n}", 1) for n in range(5))))
    assert books(database) == Books(5, read=5, stored=4, duplicate=0, rejected=1)
    assert rejected(database, raw=False) == [Rejected(3, 0, "refused")]
