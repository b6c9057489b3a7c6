"""Sessions nobody ended: closed after their last reading, once both devices are silent."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from aiokafka import AIOKafkaProducer

from ingest_worker.connections import Connections
from ingest_worker.housekeeping.rounds import do_rounds
from tests.connections import connect
from tests.kafka import options_of
from tests.settings import settings_of

NOW = datetime.now(UTC).replace(microsecond=0)
MINUTE = timedelta(minutes=1)
TIMEOUT = 30


@pytest.fixture
def database(own_environment: dict[str, str]) -> Iterator[psycopg.Connection[Any]]:
    with connect(own_environment) as connection:
        connection.execute("INSERT INTO meters (meter_id) VALUES ('M')")
        connection.execute("INSERT INTO vehicles (vehicle_id) VALUES ('V')")
        yield connection


def start(database: psycopg.Connection[Any], ago: int) -> None:
    database.execute(
        "INSERT INTO charging_sessions (meter_id, vehicle_id, started_at) VALUES ('M', 'V', %s)",
        (NOW - ago * MINUTE,),
    )


def hear(database: psycopg.Connection[Any], *, meter: int | None, vehicle: int | None) -> None:
    """Each was last heard so many minutes ago."""
    if meter is not None:
        database.execute(
            'INSERT INTO meter_live_state (meter_id, kwh_consumed_ac, "timestamp", voltage)'
            " VALUES ('M', 1, %s, 230)",
            (NOW - meter * MINUTE,),
        )
    if vehicle is not None:
        database.execute(
            "INSERT INTO vehicle_live_state"
            ' (vehicle_id, kwh_delivered_dc, "timestamp", soc, battery_temp)'
            " VALUES ('V', 1, %s, 50, 20)",
            (NOW - vehicle * MINUTE,),
        )


def round_at(environment: dict[str, str], now: datetime = NOW) -> None:
    settings = settings_of(environment, session_idle_timeout_minutes=TIMEOUT)
    assert do_rounds(settings, Connections(), now)


def ended(database: psycopg.Connection[Any]) -> tuple[datetime | None, str | None]:
    row: Any = database.execute("SELECT ended_at, end_reason FROM charging_sessions").fetchone()
    return row[0], row[1]


@pytest.mark.parametrize(
    ("meter", "vehicle", "last"),
    [(40, 35, 35), (35, 40, 35), (31, None, 31), (None, 31, 31), (90, 80, 60), (None, None, 60)],
)
def test_a_silent_session_ends_right_after_its_last_reading(
    own_environment: dict[str, str],
    database: psycopg.Connection[Any],
    meter: int | None,
    vehicle: int | None,
    last: int,
) -> None:
    start(database, 60)
    hear(database, meter=meter, vehicle=vehicle)
    round_at(own_environment)
    in_it = last < 60
    end = NOW - last * MINUTE + timedelta(microseconds=in_it)
    assert ended(database) == (end, "timeout")


@pytest.mark.parametrize(("meter", "vehicle", "ago"), [(29, 90, 60), (90, 29, 60), (90, 90, 29)])
def test_a_session_goes_on_while_either_side_is_heard_or_it_is_young(
    own_environment: dict[str, str],
    database: psycopg.Connection[Any],
    meter: int,
    vehicle: int,
    ago: int,
) -> None:
    start(database, ago)
    hear(database, meter=meter, vehicle=vehicle)
    round_at(own_environment)
    assert ended(database) == (None, None)


def test_nothing_is_silence_while_readings_wait_in_kafka(
    own_environment: dict[str, str], database: psycopg.Connection[Any]
) -> None:
    start(database, 60)
    hear(database, meter=40, vehicle=40)
    topic = own_environment["KAFKA_METER_TOPIC"]

    async def produce() -> None:
        async with AIOKafkaProducer(**options_of(own_environment)) as producer:
            reading = {"meterId": "M", "kwhConsumedAc": 1, "voltage": 230, "timestamp": "x"}
            await producer.send_and_wait(topic, json.dumps(reading).encode(), partition=0)

    asyncio.run(produce())
    round_at(own_environment)
    assert ended(database) == (None, None)
    database.execute(
        "INSERT INTO ingest_offsets (group_id, topic, partition, next_offset, last_record_ms)"
        " VALUES (%s, %s, 0, 0, %s)",
        (own_environment["KAFKA_GROUP_ID"], topic, (NOW - 5 * MINUTE).timestamp() * 1000),
    )
    round_at(own_environment)
    assert ended(database) == (NOW - 40 * MINUTE + timedelta(microseconds=1), "timeout")


def test_readings_that_were_read_up_to_too_long_ago_are_waited_for(
    own_environment: dict[str, str], database: psycopg.Connection[Any]
) -> None:
    test_nothing_is_silence_while_readings_wait_in_kafka(own_environment, database)
    database.execute("UPDATE charging_sessions SET ended_at = NULL, timed_out = false")
    database.execute(
        "UPDATE ingest_offsets SET last_record_ms = %s", ((NOW - 11 * MINUTE).timestamp() * 1000,)
    )
    round_at(own_environment)
    assert ended(database) == (None, None), "silent for 29 minutes, as far as was read"
