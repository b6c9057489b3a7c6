"""The figures, against a plain recount in Python of what the contract says they mean."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.connections import connect
from tests.readings import iso

START = datetime(2026, 1, 30, 22, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
MICROSECOND = timedelta(microseconds=1)
Reading = tuple[datetime, Decimal, Decimal]


class Story:
    """A vehicle, two meters, sessions and readings, kept here and in PostgreSQL."""

    def __init__(self, environment: dict[str, str], name: str) -> None:
        self.vehicle = f"V-{name}"
        self.meters = [f"M-{name}-0", f"M-{name}-1"]
        self.sessions: list[tuple[str, datetime, datetime | None]] = []
        self.ac: dict[str, list[Reading]] = {meter: [] for meter in self.meters}
        self.dc: list[Reading] = []
        self.connection = connect(environment)
        for meter in self.meters:
            self.connection.execute("INSERT INTO meters (meter_id) VALUES (%s)", (meter,))
        self.connection.execute("INSERT INTO vehicles (vehicle_id) VALUES (%s)", (self.vehicle,))

    def session(self, meter: int, start: datetime, end: datetime | None) -> None:
        self.sessions.append((self.meters[meter], start, end))
        self.connection.execute(
            "INSERT INTO charging_sessions (meter_id, vehicle_id, started_at, ended_at)"
            " VALUES (%s, %s, %s, %s)",
            (self.meters[meter], self.vehicle, start, end),
        )

    def add_ac(self, meter: int, time: datetime, energy: Decimal) -> None:
        self.ac[self.meters[meter]].append((time, energy, Decimal(0)))
        self._day("meter_telemetry_history", time)
        self.connection.execute(
            'INSERT INTO meter_telemetry_history (kwh_consumed_ac, "timestamp", voltage, meter_id)'
            " VALUES (%s, %s, 230, %s)",
            (energy, time, self.meters[meter]),
        )

    def add_dc(self, time: datetime, energy: Decimal, temp: Decimal) -> None:
        self.dc.append((time, energy, temp))
        self._day("vehicle_telemetry_history", time)
        self.connection.execute(
            'INSERT INTO vehicle_telemetry_history (kwh_delivered_dc, "timestamp", soc,'
            " battery_temp, vehicle_id) VALUES (%s, %s, 50, %s, %s)",
            (energy, time, temp, self.vehicle),
        )

    def _day(self, table: str, time: datetime) -> None:
        day = time.astimezone(UTC).date()
        self.connection.execute("SELECT create_day_partition(%s, %s)", (table, day))

    def expected(self, start: datetime, end: datetime) -> dict[str, Any]:
        """Totals of the window, one reading after the other."""
        inside = [
            (meter, max(s, start), min(e or end, end))
            for meter, s, e in self.sessions
            if s < end and (e is None or e > start)
        ]
        ac = [
            (time, energy)
            for meter in self.meters
            for at, energy, _ in self.ac[meter]
            if (time := self.counts_at(at, meter)) and start <= time < end
        ]
        dc = [
            (time, energy)
            for at, energy, _ in self.dc
            if (time := self.counts_at(at)) and start <= time < end
        ]
        window = [r for r in self.dc if start <= r[0] < end]
        outside = [energy for at, energy, _ in window if not self.counts_at(at)]
        times = [r[0] for r in ac] + [r[0] for r in dc] + [r[0] for r in window]
        hours = {time.replace(minute=0, second=0, microsecond=0) for time in times}
        return {
            "ac": sum((r[1] for r in ac), Decimal(0)),
            "dc": sum((r[1] for r in dc), Decimal(0)),
            "outside": sum(outside, Decimal(0)),
            "counts": (len(ac), len(dc), len(window), len(inside)),
            "minutes": int(sum((e - s for _, s, e in inside), timedelta()) / MINUTE),
            "hours": [iso(hour) for hour in sorted(hours)],
        }

    def counts_at(self, time: datetime, meter: str | None = None) -> datetime | None:
        """When a reading of the meter, or else of the vehicle, counts; None: in no session.

        One at the very end of its session counts in the session's last microsecond.
        """
        found = [
            (s, e)
            for of, s, e in self.sessions
            if meter in (None, of) and s <= time and (e is None or time <= e)
        ]
        if not found:
            return None
        _, end = max(found, key=lambda session: session[0])
        return time if end is None or time < end else end - MICROSECOND


@pytest.fixture
def story(environment: dict[str, str], request: pytest.FixtureRequest) -> Callable[[], Story]:
    def make() -> Story:
        made = Story(environment, str(abs(hash(request.node.name)) % 10**6))
        request.addfinalizer(made.connection.close)
        return made

    return make


def figures(api: httpx.Client, vehicle: str, start: datetime, end: datetime) -> dict[str, Any]:
    window = {"startTime": iso(start), "endTime": iso(end)}
    answer = api.get(f"/v1/analytics/performance/{vehicle}", params=window)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    assert body["period"] == {"start": iso(start), "end": iso(end)}
    return body


def test_random_stories_match_a_plain_recount(
    api: httpx.Client, story: Callable[[], Story]
) -> None:
    dice = random.Random(7)  # the same story each time
    told = story()
    told.session(0, START, START + 2 * HOUR)
    told.session(1, START + 2 * HOUR, START + 3.5 * HOUR)
    told.session(0, START + 5 * HOUR, None)
    for minute in range(480):
        time = START + minute * MINUTE + timedelta(seconds=dice.choice((0, 0, 30, 59.999999)))
        for meter in (0, 1):
            if dice.random() < 0.9:
                told.add_ac(meter, time, Decimal(dice.randrange(10**6)) / 10**5)
        if dice.random() < 0.9:
            temp = Decimal(dice.randrange(-100, 450)) / 10
            told.add_dc(time, Decimal(dice.randrange(10**6)) / 10**5, temp)
    windows = [(START - HOUR, START + 9 * HOUR), (START + 0.7 * HOUR, START + 5.3 * HOUR)]
    windows += [(START + 2 * HOUR, START + 2 * HOUR + MINUTE), (START + 4 * HOUR, START + 5 * HOUR)]
    for start, end in windows:
        expected, answer = told.expected(start, end), figures(api, told.vehicle, start, end)
        metrics, coverage = answer["metrics"], answer["coverage"]
        assert metrics["totalEnergyConsumedAc"] == float(round(expected["ac"], 3))
        assert metrics["totalEnergyDeliveredDc"] == float(round(expected["dc"], 3))
        assert coverage["dcEnergyOutsideSessions"] == float(round(expected["outside"], 3))
        ac, dc, readings, sessions = expected["counts"]
        assert (coverage["acReadings"], coverage["dcReadings"]) == (ac, dc)
        assert (metrics["readingCount"], metrics["chargingSessions"]) == (readings, sessions)
        assert coverage["acReadingsExpected"] == expected["minutes"]
        assert coverage["dcReadingsExpected"] == expected["minutes"]
        assert [hour["hour"] for hour in answer["hourlyBreakdown"]] == expected["hours"]


def test_a_reading_at_either_edge_of_a_session_is_in_and_one_outside_is_not(
    api: httpx.Client, story: Callable[[], Story]
) -> None:
    told = story()
    told.session(0, START, START + HOUR)
    ticks = (-MICROSECOND, timedelta(), HOUR, HOUR + MICROSECOND)
    for place, tick in enumerate(ticks):
        told.add_ac(0, START + tick, Decimal(3) ** place)
        told.add_dc(START + tick, Decimal(3) ** place, Decimal(20))
    answer = figures(api, told.vehicle, START, START + HOUR)
    assert answer["metrics"]["totalEnergyConsumedAc"] == 3 + 9
    assert answer["metrics"]["totalEnergyDeliveredDc"] == 3 + 9
    assert answer["coverage"]["dcEnergyOutsideSessions"] == 0
    assert (answer["coverage"]["dcReadings"], answer["metrics"]["readingCount"]) == (2, 1)
    assert [hour["hour"] for hour in answer["hourlyBreakdown"]] == [iso(START)]
    after = figures(api, told.vehicle, START + HOUR, START + 2 * HOUR)
    assert after["metrics"]["totalEnergyDeliveredDc"] == 0
    wider = figures(api, told.vehicle, START - HOUR, START + 2 * HOUR)
    assert wider["coverage"]["dcEnergyOutsideSessions"] == 1 + 27
    assert wider["metrics"]["totalEnergyDeliveredDc"] == 3 + 9


def test_unknown_and_silent_vehicles(api: httpx.Client, environment: dict[str, str]) -> None:
    for path in ("performance", "realtime"):
        answer = api.get(f"/v1/analytics/{path}/nobody")
        assert (answer.status_code, answer.json()["message"]) == (404, "Vehicle nobody not found")
    assert api.post("/v1/devices/vehicles", json={"vehicleId": "silent"}).is_success
    body = api.get("/v1/analytics/performance/silent").json()
    assert (body["coverage"]["quality"], body["hourlyBreakdown"]) == ("none", [])
    assert api.get("/v1/analytics/realtime/silent").json() == {
        "vehicleId": "silent",
        "currentSoc": None,
        "currentBatteryTemp": None,
        "lastUpdated": None,
        "isCharging": False,
    }
    with connect(environment) as connection:
        connection.execute(
            'INSERT INTO vehicle_live_state (kwh_delivered_dc, "timestamp", soc, battery_temp,'
            " vehicle_id) VALUES (1, now(), 75.1, 20.3, 'unregistered')"
        )
    assert api.get("/v1/analytics/performance/unregistered").status_code == 200
    assert api.get("/v1/analytics/realtime/unregistered").json()["currentBatteryTemp"] == 20.3


def test_a_sessions_figures(api: httpx.Client, story: Callable[[], Story]) -> None:
    told = story()
    told.session(0, START, START + 2 * HOUR)
    told.session(1, START + 2 * HOUR, START + 3 * HOUR)
    for minute in range(-5, 185):
        for number in (0, 1):
            told.add_ac(number, START + minute * MINUTE, Decimal("0.2"))
        told.add_dc(START + minute * MINUTE, Decimal("0.16"), Decimal("21.5"))
    told.connection.execute(
        'UPDATE vehicle_telemetry_history SET soc = 20 + 10 * extract(epoch FROM "timestamp" - %s)'
        " / 3600 WHERE vehicle_id = %s",
        (START, told.vehicle),
    )
    found = api.get("/v1/sessions", params={"vehicleId": told.vehicle}).json()
    second, first = (
        api.get(f"/v1/analytics/sessions/{session['sessionId']}").json() for session in found
    )
    assert {name: first[name] for name in found[1]} == found[1]
    # The reading at its end is the first one's meter's, and the second one's vehicle's.
    assert (first["energyAc"], first["energyDc"], first["efficiency"]) == (24.2, 19.2, 0.793)
    assert (first["durationMinutes"], first["avgTemp"]) == (120, 21.5)
    assert (first["socFrom"], first["socTo"]) == (20, 39.833332)
    assert first["coverage"] == {
        "dcEnergyOutsideSessions": 0,
        "acReadings": 121,
        "acReadingsExpected": 120,
        "dcReadings": 120,
        "dcReadingsExpected": 120,
        "sessionSeconds": 7200,
        "acSecondsCovered": 7200,
        "dcSecondsCovered": 7200,
        "estimatedAc": 0,
        "estimatedDc": 0,
        "counterResets": 0,
        "dips": 0,
        "spikes": 0,
        "implausibleReadings": 0,
        "rejectedReadings": 0,
        "correctedReadings": 0,
        "quality": "complete",
    }
    (alert,) = first["alerts"]
    assert (alert["code"], alert["certain"]) == ("low_efficiency", True)
    assert (second["energyAc"], second["durationMinutes"]) == (12.2, 60)
    told.session(0, START + 4 * HOUR, None)
    (active, *_) = api.get("/v1/sessions", params={"vehicleId": told.vehicle}).json()
    answer = api.get(f"/v1/analytics/sessions/{active['sessionId']}").json()
    assert answer["coverage"]["quality"] == "none" and answer["socFrom"] is None
    assert answer["period"]["start"] == iso(START + 4 * HOUR)
    unknown = "00000000-0000-4000-8000-000000000000"
    assert api.get(f"/v1/analytics/sessions/{unknown}").status_code == 404
