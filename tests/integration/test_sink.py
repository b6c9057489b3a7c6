"""One flush against a real PostgreSQL: what it writes, what it refuses, what it survives."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from aiokafka import TopicPartition
from psycopg import errors

from ingest_worker.connections import Connections
from ingest_worker.errors import FencedError
from ingest_worker.write.batch import Batch, Part
from ingest_worker.write.ledger import APPLICATION_NAME, LOCK_TIMEOUT_S, Ledger
from ingest_worker.write.newest_known import NewestKnown
from ingest_worker.write.sink import Sink
from schemas.settings import Settings
from schemas.streams import METER, STREAMS, VEHICLE
from schemas.streams.decoder import Decoder
from schemas.streams.times import clock_limits
from sql import store
from sql.connect import conninfo
from tests.connections import connect

NOW = datetime(2026, 2, 1, tzinfo=UTC)
SOURCE = TopicPartition("meters", 0)
VEHICLES = TopicPartition("vehicles", 1)


@dataclass
class Record:
    offset: int
    value: bytes | None
    timestamp: int = 1_700_000_000_000


@pytest.fixture
def database(own_environment: dict[str, str]) -> Iterator[psycopg.Connection[Any]]:
    with connect(own_environment) as connection:
        connection.execute("SET timezone = 'UTC'")
        yield connection


@pytest.fixture
def sink(own_environment: dict[str, str], database: object) -> Iterator[Sink]:
    sink = new_sink(own_environment)
    sink.take({SOURCE: 0, VEHICLES: 0})
    yield sink
    sink.close()


def new_sink(environment: dict[str, str], max_quarantine_bytes: int = 10**9) -> Sink:
    names = {name.lower(): value for name, value in environment.items()}
    settings = Settings(**names)
    newest_known = {name: NewestKnown() for name in STREAMS}
    ledger = Ledger("group", max_quarantine_bytes)
    return Sink(Connections(), conninfo(settings, APPLICATION_NAME), ledger, newest_known)


def reading(device: str, minute: int, kwh: float = 1.0, day: int = 30) -> bytes:
    time = f"2026-01-{day:02}T12:{minute:02}:00Z"
    fields = {"meterId": device, "kwhConsumedAc": kwh, "voltage": 230.5, "timestamp": time}
    return json.dumps(fields).encode()


def parts(*values: bytes, start: int = 0, source: TopicPartition = SOURCE) -> list[Part]:
    """One part: each value a record, from `start` on."""
    batch = Batch(
        {"meters": Decoder(METER), "vehicles": Decoder(VEHICLE)},
        max_readings=10**6,
        max_bytes=10**9,
        limits=lambda: clock_limits(NOW, max_age_days=730, retention_days=0, max_skew_seconds=0),
    )
    batch.add(source, start, [Record(start + n, value) for n, value in enumerate(values)])
    return list(batch.parts.values())


def history(database: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return database.execute(
        """SELECT meter_id, to_char("timestamp", 'DD HH24:MI'), kwh_consumed_ac
        FROM meter_telemetry_history ORDER BY 1, 2"""
    ).fetchall()


def books(database: psycopg.Connection[Any]) -> tuple[Any, ...]:
    """(next_offset, read, stored, duplicate, rejected) of the meters' partition."""
    row = database.execute(
        "SELECT next_offset, read, stored, duplicate, rejected FROM ingest_offsets"
        " WHERE topic = 'meters'"
    ).fetchone()
    assert row
    return row


def rejected(database: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return database.execute(
        'SELECT "offset", record_index, reason, raw FROM rejected_records ORDER BY 1, 2'
    ).fetchall()


def test_rows_live_state_and_books_move_together(sink, database):
    outcome = sink.flush(parts(reading("B", 1), reading("A", 2, 5), reading("A", 1), b"junk"))
    assert history(database) == [
        ("A", "30 12:01", 1.0),
        ("A", "30 12:02", 5.0),
        ("B", "30 12:01", 1.0),
    ]
    live = database.execute(
        "SELECT meter_id, kwh_consumed_ac FROM meter_live_state ORDER BY 1"
    ).fetchall()
    assert live == [("A", 5.0), ("B", 1.0)]
    assert books(database) == (4, 4, 3, 0, 1)
    assert rejected(database) == [(3, None, "malformed", b"junk")]
    assert outcome["meters"].stored == 3


def test_duplicates_and_conflicts_within_and_across_flushes(sink, database):
    first, second = reading("A", 1), reading("A", 1, 9)
    sink.flush(parts(first, first, second))
    assert books(database) == (3, 3, 1, 1, 1)
    sink.flush(parts(second, first, reading("A", 0), start=3))
    assert books(database) == (6, 6, 2, 2, 2)
    assert rejected(database) == [(2, 0, "conflict", second), (3, 0, "conflict", second)]
    detail = database.execute("SELECT detail FROM rejected_records LIMIT 1").fetchone()
    assert detail == ("stored already with kwhConsumedAc 1, voltage 230.5",)


def test_values_are_compared_as_stored(sink, database):
    close = reading("A", 1).replace(b"230.5", b"230.50000001")
    sink.flush(parts(reading("A", 1), close, reading("A", 1, 0), reading("B", 1, 0)))
    sink.flush(parts(reading("B", 1).replace(b"1.0", b"-0.0"), start=4))
    assert books(database) == (5, 5, 2, 2, 1)


def test_what_another_worker_stored_is_found_out_by_the_key(sink, database, own_environment):
    sink.flush(parts(reading("A", 1)))
    other = new_sink(own_environment)
    other.flush(parts(reading("A", 5), start=1))
    sink.flush(parts(reading("A", 5), reading("A", 6), start=2))
    assert books(database) == (4, 4, 3, 1, 0)
    other.close()


def test_a_batch_that_starts_elsewhere_changes_nothing(sink, database):
    sink.flush(parts(reading("A", 1)))
    for start in (0, 2):
        with pytest.raises(FencedError):
            sink.flush(parts(reading("A", 2), b"junk", start=start))
    assert books(database) == (1, 1, 1, 0, 0)
    assert history(database) == [("A", "30 12:01", 1.0)]
    assert rejected(database) == []


def test_one_fenced_partition_rolls_back_the_whole_flush(sink, database):
    vehicle = (
        b'{"vehicleId":"V","soc":1,"kwhDeliveredDc":1,"batteryTemp":1,'
        b'"timestamp":"2026-01-30T12:00:00Z"}'
    )
    stale = parts(vehicle, start=7, source=VEHICLES)
    with pytest.raises(FencedError):
        sink.flush(parts(reading("A", 1)) + stale)
    assert books(database) == (0, 0, 0, 0, 0)
    assert history(database) == []


def test_a_row_postgresql_refuses_is_rejected_alone(sink, database):
    database.execute(
        "ALTER TABLE meter_live_state ADD CONSTRAINT operators CHECK (kwh_consumed_ac <> 13)"
    )
    database.execute(
        "ALTER TABLE meter_telemetry_history ADD CONSTRAINT operators CHECK (kwh_consumed_ac < 66)"
    )
    values = [reading(f"M{n}", n % 60, n) for n in range(70)]
    again = [b"junk", reading("M0", 0, 0), reading("M1", 1, 5)]
    sink.flush(parts(*values, *again))
    assert books(database) == (73, 73, 65, 1, 7)
    assert [row[:3] for row in rejected(database)] == [
        *((n, 0, "refused") for n in (13, 66, 67, 68, 69)),
        (70, None, "malformed"),
        (72, 0, "conflict"),
    ]
    detail = database.execute("SELECT detail FROM rejected_records WHERE reason = 'refused'")
    assert all(row[0].startswith("23514 new row for relation") for row in detail)
    assert len(history(database)) == 65


def test_what_a_rolled_back_flush_believed_is_forgotten(sink, database):
    database.execute(
        """CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = 'disk_full'; END $$"""
    )
    database.execute(
        "CREATE TRIGGER fail BEFORE UPDATE ON ingest_offsets FOR EACH ROW EXECUTE FUNCTION fail()"
    )
    with pytest.raises(errors.DiskFull):
        sink.flush(parts(reading("A", 1)))
    assert books(database) == (0, 0, 0, 0, 0)
    database.execute("DROP TRIGGER fail ON ingest_offsets")
    sink.flush(parts(reading("A", 1)))
    assert books(database) == (1, 1, 1, 0, 0)
    assert database.execute("SELECT meter_id FROM meter_live_state").fetchall() == [("A",)]


def test_pieces_of_a_refused_batch_are_told_apart(sink, database):
    database.execute(
        "ALTER TABLE meter_telemetry_history ADD CONSTRAINT operators CHECK (kwh_consumed_ac < 13)"
    )
    conflict = reading("A", 5, 2)
    refused = reading("X", 2, 13)
    rest = [reading("B", 0), reading("B", 9)]
    sink.flush(parts(reading("A", 5), conflict, refused, *rest))
    assert rejected(database) == [(1, 0, "conflict", conflict), (2, 0, "refused", refused)]
    assert len(history(database)) == 3


def test_a_trigger_that_raises_refuses_its_row(sink, database):
    database.execute(
        """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.meter_id = 'M3' THEN RAISE EXCEPTION 'not this one'; END IF;
            RETURN NEW;
        END $$"""
    )
    database.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON meter_live_state"
        " FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    sink.flush(parts(*(reading(f"M{n}", 1) for n in range(5))))
    assert books(database) == (5, 5, 4, 0, 1)
    assert rejected(database)[0][:3] == (3, 0, "refused")


def test_a_day_partition_that_vanished_is_created_again(sink, database):
    sink.flush(parts(reading("A", 1)))
    database.execute("DROP TABLE meter_telemetry_history_2026_01_30")
    with pytest.raises(errors.UndefinedTable):
        sink.flush(parts(reading("A", 2), start=1))
    sink.flush(parts(reading("A", 2), start=1))
    assert books(database)[:3] == (2, 2, 2)
    assert history(database) == [("A", "30 12:02", 1.0)]


def test_one_flush_may_touch_many_days(sink, database):
    sink.flush(parts(*(reading("A", 1, day=day) for day in (3, 30, 1, 29))))
    assert [row[1] for row in history(database)] == [
        f"{day} 12:01" for day in ("01", "03", "29", "30")
    ]
    live = database.execute("SELECT to_char(\"timestamp\", 'DD') FROM meter_live_state").fetchall()
    assert live == [("30",)]


def test_rejected_readings_read_again_are_duplicates(sink, database):
    sink.flush(parts(b"junk", b"[null,5]"))
    assert books(database) == (2, 3, 0, 0, 3)
    database.execute("UPDATE ingest_offsets SET next_offset = 0")
    sink.flush(parts(b"junk", b"[null,5]"))
    assert books(database) == (2, 6, 0, 3, 3)
    assert len(rejected(database)) == 3


def test_an_owner_frozen_in_its_transaction_is_ended(sink, database, own_environment):
    frozen = new_sink(own_environment)
    connection = frozen._connect()
    connection.execute("BEGIN")
    connection.execute("SELECT * FROM ingest_offsets FOR UPDATE")
    connection.execute("UPDATE ingest_offsets SET updated_at = now()")
    began = time.monotonic()
    with pytest.raises(errors.LockNotAvailable):
        sink.take({SOURCE: 0})
    assert time.monotonic() - began >= LOCK_TIMEOUT_S
    sink.take({SOURCE: 0})
    sink.flush(parts(reading("A", 1)))
    with pytest.raises(psycopg.OperationalError):
        connection.execute("COMMIT")
    assert books(database)[0] == 1
    frozen.close()


def test_only_workers_are_ended(sink, database, own_environment):
    with connect(own_environment) as operator:
        operator.execute("BEGIN")
        operator.execute("SELECT * FROM ingest_offsets FOR UPDATE")
        with pytest.raises(errors.LockNotAvailable):
            sink.take({SOURCE: 0})
        operator.execute("COMMIT")


def test_an_aborted_call_raises_and_the_next_one_works(sink, database):
    sink.abort()
    with pytest.raises(psycopg.OperationalError):
        sink.flush(parts(reading("A", 1)))
    sink.flush(parts(reading("A", 1)))
    assert books(database)[0] == 1


def test_a_full_quarantine_keeps_readings_without_their_bytes(sink, database, own_environment):
    small = new_sink(own_environment, max_quarantine_bytes=1)
    small.flush(parts(b"junk", reading("A", 1)))
    assert rejected(database) == [(0, None, "malformed", None)]
    assert books(database) == (2, 2, 1, 0, 1)
    small.close()


def test_many_may_create_the_same_day_at_once(database, own_environment):
    def create(_: int) -> None:
        with connect(own_environment) as connection:
            for day in range(60):
                store.create_days(connection, METER, [9500 + day])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(create, range(4)))
    count = database.execute("SELECT count(*) FROM pg_inherits").fetchone()
    assert count
    assert count[0] >= 60


def test_a_constraint_that_waits_for_commit_refuses_its_row_too(sink, database):
    database.execute(
        """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.meter_id = 'M3' THEN RAISE EXCEPTION 'not this one'; END IF;
            RETURN NULL;
        END $$"""
    )
    database.execute(
        "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON meter_live_state"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    sink.flush(parts(*(reading(f"M{n}", 1) for n in range(5))))
    assert books(database) == (5, 5, 4, 0, 1)
    assert rejected(database)[0][:3] == (3, 0, "refused")
