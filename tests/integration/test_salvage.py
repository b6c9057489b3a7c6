"""Bad values cost no energy: what is salvaged is stored, noted, and counted as what it became."""

import json
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from ingest_worker.write.sink import Sink
from tests.sinks import METERS, VEHICLES, Record, new_batch, new_sink, parts
from tests.stored import Books, books

Database = psycopg.Connection[Any]
NOTED = (
    "outcome",
    "reason",
    "changed",
    "resolved_by",
    "device_id",
    "reading_at",
    "same_energy",
    "raw",
)


def meter(minute: int = 0, kwh: float = 1.0, **fields: Any) -> bytes:
    time = f"2026-01-30T12:{minute:02}:00Z"
    return json.dumps({"meterId": "M", "kwhConsumedAc": kwh, "timestamp": time} | fields).encode()


def noted(database: Database) -> list[dict[str, Any]]:
    """What stands in the quarantine, in the order in which it came."""
    cursor = database.cursor(row_factory=dict_row)
    return cursor.execute("SELECT * FROM rejected_records ORDER BY id").fetchall()


def rows(database: Database) -> list[tuple[Any, ...]]:
    return database.execute(
        'SELECT extract(minute FROM "timestamp")::int, kwh_consumed_ac, voltage'
        " FROM meter_telemetry_history ORDER BY 1"
    ).fetchall()


def unresolved(database: Database) -> int:
    row = database.execute(
        "SELECT count(*) FROM rejected_records WHERE resolved_at IS NULL"
    ).fetchone()
    assert row is not None
    return int(row[0])


def test_a_salvaged_reading_is_stored_and_its_bytes_are_kept(
    sink: Sink, database: Database
) -> None:
    bad = meter(1, voltage=-4)
    outcome = sink.flush(parts(meter(0, voltage=230), bad, salvage=True))
    assert rows(database) == [(0, 1.0, 230.0), (1, 1.0, None)]
    assert books(database) == Books(2, read=2, stored=2, duplicate=0, rejected=0)
    (one,) = noted(database)
    assert {name: one[name] for name in NOTED} == {
        "outcome": "stored",
        "reason": "repaired",
        "changed": "drop voltage",
        "resolved_by": "SALVAGE_READINGS",
        "device_id": "M",
        "reading_at": datetime(2026, 1, 30, 12, 1, tzinfo=UTC),
        "same_energy": False,
        "raw": bad,
    }
    assert one["resolved_at"] is not None
    assert outcome["meters"].repaired == 1
    live = database.execute("SELECT voltage FROM meter_live_state").fetchall()
    assert live == [(None,)]


def test_null_equals_null_for_duplicates_and_conflicts(sink: Sink, database: Database) -> None:
    values = [
        meter(1, voltage=None),  # stored
        meter(1),  # a duplicate: both lack it
        meter(1, voltage=230),  # a conflict of equal energy
        meter(1, kwh=2, voltage=600),  # a conflict of another energy
        meter(2, voltage=230),  # stored
        meter(2, voltage="230"),  # a conflict of equal energy
    ]
    outcome = sink.flush(parts(*values, salvage=True))
    assert outcome["meters"].repaired == 2
    assert books(database) == Books(6, read=6, stored=2, duplicate=1, rejected=3)
    assert [
        (one["offset"], one["reason"], one["outcome"], one["same_energy"])
        for one in noted(database)
    ] == [
        (2, "conflict", None, True),
        (3, "conflict", None, False),
        (5, "conflict", None, True),
        (0, "repaired", "stored", False),
        (1, "repaired", "duplicate", False),
    ]
    assert unresolved(database) == 3


@pytest.mark.parametrize("again", [True, False])
def test_reading_again_adds_no_second_note(
    sink: Sink, database: Database, own_environment: dict[str, str], again: bool
) -> None:
    values = (meter(1, voltage=None), meter(2, voltage=230), meter(3, voltage="x"))
    sink.flush(parts(*values, salvage=True))
    database.execute("UPDATE ingest_offsets SET next_offset = 0 WHERE topic = 'meters'")
    other = new_sink(own_environment)
    other.take({METERS: 0})
    other.flush(parts(*values, salvage=again))  # without salvage it was rejected before
    other.close()
    assert books(database) == Books(3, read=6, stored=3, duplicate=3, rejected=0)
    assert [one["outcome"] for one in noted(database)] == ["stored", "stored"]
    assert unresolved(database) == 0


def test_what_was_rejected_before_salvage_is_resolved_when_it_is_read_again(
    sink: Sink, database: Database
) -> None:
    sink.flush(parts(meter(1, voltage=None)))
    assert books(database) == Books(1, read=1, stored=0, duplicate=0, rejected=1)
    database.execute("UPDATE ingest_offsets SET next_offset = 0 WHERE topic = 'meters'")
    sink.flush(parts(meter(1, voltage=None), salvage=True))
    assert books(database) == Books(1, read=2, stored=1, duplicate=0, rejected=1)
    (one,) = noted(database)
    assert (one["reason"], one["outcome"], one["changed"]) == ("invalid", "stored", "drop voltage")
    assert unresolved(database) == 0


def test_a_refused_reading_is_refused_however_good_its_energy(
    sink: Sink, database: Database
) -> None:
    database.execute("ALTER TABLE meter_telemetry_history ADD CHECK (kwh_consumed_ac < 5)")
    sink.flush(parts(meter(1, voltage=None), meter(2, kwh=9, voltage=None), salvage=True))
    assert books(database) == Books(2, read=2, stored=1, duplicate=0, rejected=1)
    assert [(one["offset"], one["reason"]) for one in noted(database)] == [
        (1, "refused"),
        (0, "repaired"),
    ]
    assert noted(database)[0]["reading_at"] == datetime(2026, 1, 30, 12, 2, tzinfo=UTC)


def test_a_full_quarantine_takes_no_note_and_counts_none(
    own_environment: dict[str, str], database: Database
) -> None:
    sink = new_sink(own_environment, max_quarantine_bytes=1)
    sink.take({METERS: 0})
    sink.flush(parts(meter(1, voltage=None), meter(2, kwh=-1), salvage=True))
    sink.close()
    assert books(database) == Books(2, read=2, stored=1, duplicate=0, rejected=1)
    assert noted(database) == []
    counted = database.execute("SELECT reason, readings FROM rejected_overflow").fetchall()
    assert counted == [("invalid", 1)]


def test_readings_of_vehicles_are_salvaged_in_arrays_too(sink: Sink, database: Database) -> None:
    own = {"vehicleId": "V", "kwhDeliveredDc": 1, "soc": 50, "batteryTemp": 20}
    bad: tuple[dict[str, Any], ...] = ({}, {"soc": 65535}, {"batteryTemp": -100}, {"soc": None})
    several = [
        {**own, "timestamp": f"2026-01-30T12:0{minute}:00Z"} | fields
        for minute, fields in enumerate(bad)
    ]
    batch = new_batch(salvage=True)
    batch.add(VEHICLES, 0, [Record(0, json.dumps(several).encode())])
    sink.flush(list(batch.parts.values()))
    found = database.execute(
        'SELECT soc, battery_temp FROM vehicle_telemetry_history ORDER BY "timestamp"'
    ).fetchall()
    assert found == [(50, 20), (None, 20), (50, None), (None, 20)]
    assert [(one["record_index"], one["changed"]) for one in noted(database)] == [
        (1, "drop soc"),
        (2, "drop batteryTemp"),
        (3, "drop soc"),
    ]


@pytest.mark.parametrize(
    ("value", "reason", "time"),
    [
        (meter(1, voltage=-4), "invalid", datetime(2026, 1, 30, 12, 1, tzinfo=UTC)),
        (
            meter(0, timestamp="2020-01-01T00:00:00Z", voltage=1),
            "too_old",
            datetime(2020, 1, 1, tzinfo=UTC),
        ),
        (
            meter(0, timestamp="2026-03-01T00:00:00Z", voltage=1),
            "in_future",
            datetime(2026, 3, 1, tzinfo=UTC),
        ),
        (meter(0, timestamp="2026-03-01T00:00:00", voltage=1), "invalid", None),
        (b"[", "malformed", None),
    ],
)
def test_rejected_readings_know_their_own_time(
    sink: Sink, database: Database, value: bytes, reason: str, time: datetime | None
) -> None:
    sink.flush(parts(value))
    (one,) = noted(database)
    assert (one["reason"], one["same_energy"], one["changed"]) == (reason, False, None)
    assert one["reading_at"] == time
