"""What is gathered from the nodes of a cluster for a figure: what it looks at, and no more."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from schemas.streams import METER, VEHICLE
from sql import gathered
from sql.gathered import ALL, Span, gather
from tests.connections import connect

START = datetime(2026, 1, 20, tzinfo=UTC)
MINUTES = 2 * 24 * 60
FROM, TO = START + timedelta(hours=20), START + timedelta(hours=28)
BOUNDS = {
    "base_start": START,
    "start": FROM,
    "end": TO,
    "reach_end": START + timedelta(days=2),
}
FILL = """
    INSERT INTO meter_telemetry_history (meter_id, "timestamp", kwh_consumed_ac, voltage)
    SELECT 'M-' || n, %s + minute * interval '1 minute', 1, 230
    FROM generate_series(1, 9) n, generate_series(0, %s) minute
"""
GATHERED = 'SELECT meter_id, "timestamp" FROM gathered_meter ORDER BY 1, 2'

Readings = list[tuple[str, datetime]]


@pytest.fixture(scope="module")
def connection(environment: dict[str, str]) -> Iterator[psycopg.Connection[Any]]:
    """To a database with two days of nine meters, which report every minute."""
    with connect(environment) as connection:
        for day in range(2):
            date = (START + timedelta(days=day)).date()
            connection.execute(
                "SELECT ensure_day_partition('meter_telemetry_history', %s)", (date,)
            )
        connection.execute(FILL, (START, MINUTES - 1))
        yield connection


def of(connection: psycopg.Connection[Any], *spans: Span, **most: int) -> Readings:
    with connection.transaction():
        gather(connection, {METER: spans, VEHICLE: []}, BOUNDS, **most)
        return connection.execute(GATHERED).fetchall()


def minutes(meter: str, first: datetime, count: int) -> Readings:
    return [(meter, first + n * timedelta(minutes=1)) for n in range(count)]


def hour(meter: str) -> Span:
    return Span(meter, START + timedelta(hours=23), START + timedelta(hours=24))


def test_a_span_comes_with_the_readings_next_to_it(connection: psycopg.Connection[Any]) -> None:
    first = hour("M-1").first - timedelta(minutes=14)
    assert of(connection, hour("M-1")) == minutes("M-1", first, 14 + 60 + 13)


def test_around_a_span_only_these_are_gathered(connection: psycopg.Connection[Any]) -> None:
    span = hour("M-1")
    before = minutes("M-1", span.first - timedelta(minutes=14), 14)
    assert of(connection, span, within=0) == before + minutes("M-1", span.past, 13)


def test_of_each_hour_one_reading_tells_that_there_are_some(
    connection: psycopg.Connection[Any],
) -> None:
    found = of(connection, Span("M-1", START, TO), before=0, within=0, after=0, hours=ALL)
    assert [at.hour for _, at in found] == [*range(24), *range(4)]


@pytest.mark.parametrize("few", [gathered.FEW, 1])
def test_devices_on_several_nodes_are_gathered_at_once(
    connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(gathered, "FEW", few)
    meters = [f"M-{n}" for n in range(1, 10)]
    expected = [one for meter in meters for one in minutes(meter, hour(meter).first, 60)]
    spans = [hour(meter) for meter in meters]
    assert of(connection, *spans, *spans, before=0, after=0) == expected


def test_a_transaction_leaves_nothing_for_the_next_one(
    connection: psycopg.Connection[Any],
) -> None:
    assert of(connection, hour("M-1"), hour("M-2")) != []
    assert of(connection) == []


def test_the_statements_after_it_are_planned_as_ever(connection: psycopg.Connection[Any]) -> None:
    with connection.transaction():
        gather(connection, {METER: [hour("M-1")]}, BOUNDS)
        assert connection.execute("SHOW citus.subquery_pushdown").fetchone() == ("off",)
