"""Session events as chargers send them, and what became of them."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import psycopg
from aiokafka import TopicPartition

from ingest_worker.connections import Connections
from ingest_worker.write.batch import Batch, Part
from ingest_worker.write.ledger import Ledger
from ingest_worker.write.quarantine import Quarantine
from ingest_worker.write.session_sink import SessionSink
from reporting.applications import Application
from schemas.session_events import EventDecoder
from sql.connect import conninfo
from tests.readings import iso
from tests.settings import settings_of
from tests.sinks import Record

DAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=4)
"""When all of it happens; minutes count from here."""


class Session(NamedTuple):
    """A session as it is in the end, in minutes."""

    transaction: str | None
    meter: str
    vehicle: str
    start: float
    end: float | None = None
    meter_start: float | None = None
    meter_stop: float | None = None


def at(minute: float) -> datetime:
    """The time of a minute."""
    return DAY + timedelta(minutes=minute)


def start(transaction: str, meter: str, vehicle: str, minute: float, **more: Any) -> bytes:
    """A charger says that a session starts."""
    who = {"transactionId": transaction, "meterId": meter, "vehicleId": vehicle}
    return json.dumps({"event": "start", **who, "timestamp": iso(at(minute)), **more}).encode()


def end(transaction: str, minute: float, **more: Any) -> bytes:
    """A charger says that it ends."""
    event = {"event": "end", "transactionId": transaction, "timestamp": iso(at(minute))}
    return json.dumps(event | more).encode()


def register(database: psycopg.Connection[Any], devices: int) -> None:
    """Register so many meters and as many vehicles: M0, V0 and so on."""
    for table, column, letter in (("meters", "meter_id", "M"), ("vehicles", "vehicle_id", "V")):
        database.execute(
            f"INSERT INTO {table} ({column})"
            f" SELECT '{letter}' || n FROM generate_series(0, {devices - 1}) AS n".encode()
        )


def sessions(database: psycopg.Connection[Any]) -> list[Session]:
    """All sessions, by transaction and start."""
    rows = database.execute(
        "SELECT transaction_id, meter_id, vehicle_id, started_at, ended_at, meter_start, meter_stop"
        " FROM charging_sessions ORDER BY transaction_id, started_at"
    )
    return [
        Session(t, meter, vehicle, _minute(first), past and _minute(past), meter_start, meter_stop)
        for t, meter, vehicle, first, past, meter_start, meter_stop in rows
    ]


def _minute(time: datetime) -> float:
    return (time - DAY) / timedelta(minutes=1)


class Topic:
    """A topic of session events as a worker has it, without Kafka: what is sent is flushed."""

    name = "session-events"

    def __init__(self, environment: dict[str, str], database: psycopg.Connection[Any]) -> None:
        self.environment = environment
        self.database = database
        settings = settings_of(environment)
        group = settings.kafka_group_id
        quarantine = Quarantine(group, max_bytes=10**9, max_raw_bytes=10**6)
        where = conninfo(settings, Application.WORKER)
        self.sink = SessionSink(Connections(), where, Ledger(group, quarantine))
        self.positions = dict.fromkeys((TopicPartition(self.name, n) for n in range(2)), 0)
        self.sink.take(self.positions)

    def parts(self, *values: bytes, partition: int = 0) -> list[Part]:
        """What the worker makes of these records, each a value."""
        where = TopicPartition(self.name, partition)
        batch = Batch(
            {self.name: EventDecoder()},
            max_readings=10**6,
            max_bytes=10**9,
            max_record_bytes=10**6,
            limits=lambda: settings_of(self.environment).clock_limits(datetime.now(UTC)),
        )
        at = self.positions[where]
        batch.add(where, at, [Record(at + n, value) for n, value in enumerate(values)])
        return list(batch.parts.values())

    def send(self, *values: bytes, partition: int = 0) -> tuple[int, int, Counter[str]]:
        """Flush these records: how many were stored and duplicates, and what was rejected for."""
        parts = self.parts(*values, partition=partition)
        outcome = self.sink.flush(parts)[self.name]
        self.positions[parts[0].partition] = parts[0].end
        return outcome.stored, outcome.duplicate, outcome.rejected

    def rejected(self) -> list[tuple[str, str]]:
        """Why those are rejected that nobody has resolved."""
        rows = self.database.execute(
            "SELECT reason, detail FROM rejected_records WHERE resolved_at IS NULL ORDER BY id"
        )
        return rows.fetchall()

    def balances(self) -> None:
        """The books of all partitions are those of the tables."""
        found = self.database.execute(
            "SELECT sum(stored), sum(rejected), sum(read - stored - duplicate - rejected),"
            " (SELECT count(*) FROM session_events),"
            " (SELECT count(*) FROM rejected_records WHERE resolved_at IS NULL)"
            " FROM ingest_offsets"
        ).fetchone()
        assert found
        stored, rejected, more, rows, kept = found
        assert (stored, rejected, more) == (rows, kept, 0)
