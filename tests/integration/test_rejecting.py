"""Bad readings that are very many, very large, or that nobody calls bad."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from ingest_worker import metrics
from ingest_worker.commands.reconcile import make_report
from ingest_worker.write import quarantine
from ingest_worker.write.batch import OversizedRecord, Part
from ingest_worker.write.sink import Sink
from schemas.streams.rejection import MAX_BAD_READINGS
from sql.named import load
from tests.readings import array_value, meter_value
from tests.sinks import MAX_RECORD_BYTES, METERS, Record, new_batch, new_sink, parts
from tests.stored import Books, Rejected, books, history, reading, rejected

Database = psycopg.Connection[Any]

SWALLOW = """CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RETURN CASE WHEN NEW.meter_id LIKE 'S%' THEN NULL ELSE NEW END; END $$"""
CHANGE = """CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN {change}; RETURN NEW; END $$"""


def on_history(database: Database, function: str) -> None:
    """Have a trigger of an operator's look at each row of the meters' history."""
    database.execute(
        f"CREATE TRIGGER operators BEFORE INSERT ON meter_telemetry_history"
        f" FOR EACH ROW EXECUTE FUNCTION {function}()".encode()
    )


def kept(database: Database) -> dict[str, int]:
    """What the tables hold, as `reconcile` counts it."""
    row = database.execute(
        "SELECT (SELECT count(*) FROM meter_telemetry_history),"
        " (SELECT count(*) FROM rejected_records WHERE resolved_at IS NULL)"
        " + (SELECT coalesce(sum(readings), 0)::int FROM rejected_overflow)"
    ).fetchone()
    assert row is not None
    return {"stored": row[0], "rejected": row[1]}


def balanced(database: Database) -> bool:
    """Whether the books balance, by themselves and against the tables."""
    found = books(database)
    row = {**found._asdict(), "group_id": "group", "topic": "meters", "partition": 0}
    return bool(make_report([row], kept(database), {})["balanced"])


def many(count: int, device: str = "A", kwh: float = 1.0) -> list[bytes]:
    """So many readings of one day."""
    start = datetime(2026, 1, 30, tzinfo=UTC)
    return [meter_value(device, start + timedelta(seconds=n), kwh) for n in range(count)]


def test_an_oversized_record_is_one_rejection_with_its_true_size(
    sink: Sink, database: Database
) -> None:
    batch = new_batch()
    oversized = OversizedRecord(1, 1_700_000_000_000, b"[0,0,0", 600_000_000)
    plain = Record(3, b"[" + b" " * MAX_RECORD_BYTES + b"]")
    batch.add(METERS, 0, [Record(0, reading("A", 1)), oversized, Record(2, reading("A", 2))])
    batch.add(METERS, 3, [plain, Record(4, reading("A", 3))])
    if batch.parts[METERS].end < 5:
        batch.add(METERS, 4, [Record(4, reading("A", 3))])
    sink.flush(list(batch.parts.values()))
    assert books(database) == Books(5, read=5, stored=3, duplicate=0, rejected=2)
    rows = database.execute(
        'SELECT "offset", record_index, reason, octet_length(raw), raw_bytes, detail'
        " FROM rejected_records ORDER BY 1"
    ).fetchall()
    assert [row[:5] for row in rows] == [
        (1, None, "malformed", 6, 600_000_000),
        (3, None, "malformed", 10**6, MAX_RECORD_BYTES + 2),
    ]
    assert "600,000,000 bytes" in rows[0][5]


def test_raw_bytes_are_cut_and_their_number_is_not(
    own_environment: dict[str, str], database: Database
) -> None:
    sink = new_sink(own_environment, rejected_raw_bytes=10)
    sink.take({METERS: 0})
    sink.flush(parts(b"x" * 5_000, b"y" * 10, array_value(b'"' + b"z" * 100 + b'"', b"null")))
    rows = database.execute("SELECT raw, raw_bytes FROM rejected_records ORDER BY id").fetchall()
    assert rows == [(b"x" * 10, 5_000), (b"y" * 10, 10), (b'"zzzzzzzzz', 102), (b"null", 4)]
    sink.close()


def test_too_many_bad_readings_of_a_record_are_one_and_its_good_ones_are_stored(
    sink: Sink, database: Database
) -> None:
    record = array_value(*[b"0"] * MAX_BAD_READINGS, reading("A", 1), b"0", reading("A", 2))
    sink.flush(parts(record, b"junk"))
    assert books(database) == Books(2, read=4, stored=2, duplicate=0, rejected=2)
    database.execute("UPDATE ingest_offsets SET next_offset = 0")
    sink.flush(parts(record, b"junk"))
    assert books(database) == Books(2, read=8, stored=2, duplicate=4, rejected=2)
    assert balanced(database)
    assert rejected(database)[0] == Rejected(0, None, "malformed", record)
    assert [row.time for row in history(database)] == ["30 12:01", "30 12:02"]


def test_a_flood_of_conflicts_in_one_record_is_one_rejection_too(
    sink: Sink, database: Database
) -> None:
    count = MAX_BAD_READINGS + 1
    sink.flush(parts(array_value(*many(count))))
    flood = array_value(*many(count, kwh=2.0), reading("B", 1))
    sink.flush(parts(flood, reading("B", 2), start=1))
    assert books(database) == Books(3, read=count + 3, stored=count + 2, duplicate=0, rejected=1)
    assert rejected(database, raw=False) == [Rejected(1, None, "malformed")]
    database.execute("UPDATE ingest_offsets SET next_offset = 1")
    sink.flush(parts(flood, start=1))
    assert books(database)[3:] == (2, 1)
    assert balanced(database)


def test_one_statement_takes_few_raw_bytes_and_all_are_kept(
    sink: Sink, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "MAX_INSERT_BYTES", 1_000)
    monkeypatch.setattr(quarantine, "MAX_INSERT_ROWS", 5)
    values = [b"x" * size for size in (5_000, 1, 999, 1, 400, 400, 400, *[1] * 20)]
    sink.flush(parts(*values))
    assert [row.raw for row in rejected(database)] == values


def size_of_quarantine(database: Database) -> int:
    found = database.execute(load("rejected")["size"]).fetchone()
    assert found is not None
    return int(found[0])


def test_a_quarantine_that_is_more_than_full_only_counts(
    sink: Sink, database: Database, own_environment: dict[str, str]
) -> None:
    sink.flush(parts(b"junk", b"null"))
    size = size_of_quarantine(database)
    full = new_sink(own_environment, max_quarantine_bytes=size // 2)
    counted_before = metrics.REJECTED_ONLY_COUNTED._value.get()
    for start in (2, 5):
        full.flush(parts(b"junk", b"[0,1]", reading("A", start), start=start))
    assert metrics.REJECTED_ONLY_COUNTED._value.get() - counted_before == 6
    assert size_of_quarantine(database) == size
    assert len(rejected(database)) == 2
    overflow = database.execute(load("rejected")["overflow"]).fetchall()
    assert [row[:-1] for row in overflow] == [
        ("meters", 0, "invalid", 4, 3, 6),
        ("meters", 0, "malformed", 2, 2, 5),
    ]
    database.execute("UPDATE ingest_offsets SET next_offset = 0")
    full.flush(parts(b"junk", b"null"))
    assert books(database) == Books(2, read=12, stored=2, duplicate=2, rejected=6 + 2)
    assert balanced(database)
    full.close()


def test_the_size_of_the_quarantine_is_known_after_a_restart(
    own_environment: dict[str, str], database: Database
) -> None:
    metrics.QUARANTINE_BYTES.set(0)
    restarted = new_sink(own_environment)
    restarted.take({METERS: 0})
    assert metrics.QUARANTINE_BYTES._value.get() == size_of_quarantine(database) > 0
    restarted.close()


@pytest.mark.no_citus
def test_rows_that_a_trigger_swallows_are_refused_whichever_way_they_go(
    sink: Sink, database: Database
) -> None:
    database.execute(SWALLOW)
    on_history(database, "swallow")
    sink.flush(parts(reading("A", 1), reading("S1", 1), reading("B", 1), reading("S2", 1)))
    assert books(database) == Books(4, read=4, stored=2, duplicate=0, rejected=2)
    assert [row.device for row in history(database)] == ["A", "B"]
    # These are no news of their devices, so they are staged from the start.
    late = [reading("A", 0), reading("S1", 0), reading("A", 1), reading("A", 1, 9)]
    sink.flush(parts(*late, start=4))
    assert books(database) == Books(8, read=8, stored=3, duplicate=1, rejected=4)
    assert rejected(database) == [
        Rejected(1, 0, "refused", reading("S1", 1)),
        Rejected(3, 0, "refused", reading("S2", 1)),
        Rejected(5, 0, "refused", reading("S1", 0)),
        Rejected(7, 0, "conflict", reading("A", 1, 9)),
    ]
    details = database.execute("SELECT DISTINCT detail FROM rejected_records ORDER BY 1").fetchall()
    assert details[0][0].startswith("meter_telemetry_history did not keep it: a trigger")
    assert database.execute("SELECT meter_id FROM meter_live_state ORDER BY 1").fetchall() == [
        ("A",),
        ("B",),
    ]
    assert balanced(database)


@pytest.mark.no_citus
@pytest.mark.parametrize(
    "change",
    [
        "NEW.kwh_consumed_ac := NEW.kwh_consumed_ac + 1",
        "NEW.meter_id := NEW.meter_id || '-changed'",
        """NEW."timestamp" := NEW."timestamp" + interval '1 second'""",
    ],
)
def test_a_trigger_that_changes_rows_does_not_make_the_books_wrong(
    sink: Sink, database: Database, change: str
) -> None:
    database.execute(CHANGE.format(change=change).encode())
    on_history(database, "change")
    sink.flush(parts(reading("A", 5), reading("B", 5), reading("A", 4)))
    sink.flush(parts(reading("A", 5), reading("A", 4), reading("A", 3), reading("A", 6), start=3))
    assert books(database).read == 7
    assert balanced(database)


def with_rows(*devices: str) -> list[Part]:
    """One part of a reading of each device, whatever the decoder would say of its id."""
    made = parts(*(reading(f"M{number}", 1) for number in range(len(devices))))
    rows = made[0].rows
    rows[:] = [(*row[:-1], device) for row, device in zip(rows, devices, strict=True)]
    return made


@pytest.mark.parametrize(
    ("device", "encoding"),
    [("M-\0", "utf8"), ("M-\ud800", "utf8"), ("Säule-€1", "latin1")],
    ids=["refused by the server", "refused by the client", "not in the connection's encoding"],
)
def test_an_id_that_cannot_be_handed_over_rejects_its_row_alone(
    sink: Sink, database: Database, device: str, encoding: str
) -> None:
    devices = [f"M{number}" for number in range(20)]
    devices[13] = device
    sink._connect().execute(f"SET client_encoding TO {encoding}".encode())
    sink.flush(with_rows(*devices))
    assert books(database) == Books(20, read=20, stored=19, duplicate=0, rejected=1)
    assert rejected(database, raw=False) == [Rejected(13, 0, "refused")]
    assert len(history(database)) == 19


@pytest.mark.no_citus
def test_what_a_trigger_says_at_length_is_kept_in_short(sink: Sink, database: Database) -> None:
    database.execute(
        """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION '%', repeat(E'no\n', 1000000); END $$"""
    )
    on_history(database, "refuse")
    sink.flush(parts(reading("A", 1), reading("B", 1)))
    rows = database.execute("SELECT detail FROM rejected_records").fetchall()
    assert [len(detail) for (detail,) in rows] == [500, 500]
    assert rows[0][0].startswith("P0001 no no no")
