"""Corrections over HTTP: what each makes of a device's readings, and that undoing takes it back."""

import csv
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import httpx
import pytest

from ingest_worker.housekeeping.rollups import bring_up_to_date
from schemas.streams import METER
from sql.named import load_for
from tests import reference
from tests.answers import check_problem
from tests.api_process import ApiProcess
from tests.connections import connect
from tests.corrections import MINUTE, PATH, SENT, START, Device, Shown, at, without
from tests.readings import iso
from tests.reference.corrections import is_free, standing
from tests.settings import settings_of

SKEW_S = 300


@pytest.fixture(params=["meter", "vehicle"])
def device(
    api: httpx.Client, environment: dict[str, str], request: pytest.FixtureRequest
) -> Device:
    return Device(api, environment, request.param, f"of {request.node.name}"[:64])


@pytest.fixture
def meter(api: httpx.Client, environment: dict[str, str], request: pytest.FixtureRequest) -> Device:
    return Device(api, environment, "meter", f"of {request.node.name}"[:64])


def test_each_action_and_its_undoing(device: Device) -> None:
    replaced, added = device.given(3.5, 4), device.given(3.25, 4.75)
    moved = {round(n - 60 - 0.25 / 60, 6): float(n) for n in (3, 4)}
    actions: list[tuple[str, dict[str, Any], Shown]] = [
        ("void", {}, without(3, 4)),
        ("replace", {"readings": replaced}, without(3) | {3.5: 103.5, 4: 104}),
        ("add", {"readings": added}, SENT | {3.25: 103.25, 4.75: 104.75}),
        ("shift", {"shiftSeconds": -3_600.25}, without(3, 4) | moved),
    ]
    for action, given, stand in actions:
        made = device.correct(3, 5, action, **given)
        assert device.shown() == stand, action
        assert device.shown(corrected="false") == SENT
        assert (made["madeBy"], made["undoneAt"]) == ("api@127.0.0.1", None)
        assert made["shiftSeconds"] == given.get("shiftSeconds")
        if readings := given.get("readings"):
            in_history = device.history().json()
            assert all(one in in_history for one in made["readings"])
            assert [one["timestamp"] for one in made["readings"]] == [
                one["timestamp"] for one in readings
            ]
        assert device.undo(made).status_code == 204
        assert device.shown() == SENT
        assert device.undo(made).status_code == 404
    with connect(device.environment) as connection:
        for table in ("corrected_stretches", f"{device.stream}_corrected_readings"):
            assert connection.execute(f"SELECT FROM {table}".encode()).fetchone() is None


def test_each_is_applied_to_what_those_before_it_left(device: Device) -> None:
    """Brought in, moved away with what was sent, replaced there; then undone in another order."""
    added = device.correct(2, 4, "add", readings=device.given(2.5, 3.5))
    moved = device.correct(3, 10, "shift", shiftSeconds=600)
    seen = {0: 0, 1: 1, 2: 2, 2.5: 102.5, 13.5: 103.5} | {n + 10.0: float(n) for n in range(3, 10)}
    assert device.shown() == seen
    replaced = device.correct(13, 15, "replace", readings=device.given(14, kwh=200))
    after = {minute: kwh for minute, kwh in seen.items() if not 13 <= minute < 15} | {14: 214}
    assert device.shown() == after
    voided = device.correct(14, 14.001, "void")
    back = device.correct(15, 17, "shift", shiftSeconds=-600)
    del after[14], after[15], after[16]
    assert device.shown() == after | {5: 5, 6: 6}

    assert device.undo(added).status_code == 204
    del after[2.5]
    assert device.shown() == after | {5: 5, 6: 6}
    assert device.undo(moved).status_code == 204
    assert device.shown() == SENT
    for made in (replaced, voided):
        assert device.undo(made).status_code == 204
    assert device.shown() == SENT
    assert device.undo(back).status_code == 204
    assert device.shown() == SENT


def test_whatever_is_made_and_undone(meter: Device) -> None:
    """Against the reference, which applies them to each reading in turn: what stands, and what is
    refused."""
    draw = random.Random(4)
    ids: list[Any] = []
    them: list[reference.Correction] = []
    sent = [reference.Reading(START + n * MINUTE, Decimal(n)) for n in range(10)]
    for step in range(60):
        in_force = [place for place, one in enumerate(them) if one.in_force]
        after = [*them]
        if len(in_force) > 3 and draw.random() < 0.4:
            place = draw.choice(in_force)
            after[place] = them[place]._replace(in_force=False)
            answer = meter.undo(ids[place])
        else:
            first, past = sorted(draw.sample(range(14), 2))
            action = draw.choice(["void", "replace", "shift", "shift", "add"])
            more: dict[str, Any] = {}
            minutes = sorted(draw.sample(range(first, past), 1 + (past - first > 3)))
            if action in ("replace", "add"):
                more = {"readings": meter.given(*minutes, kwh=100 * step)}
            elif action == "shift":
                more = {"shiftSeconds": draw.choice([-300, -60, 30, 60, 150])}
            made = [reference.Reading(START + m * MINUTE, Decimal(100 * step + m)) for m in minutes]
            after.append(
                reference.Correction(
                    action,
                    START + first * MINUTE,
                    START + past * MINUTE,
                    tuple(made) if "readings" in more else (),
                    timedelta(seconds=more.get("shiftSeconds", 0)),
                )
            )
            answer = meter.post(first, past, action, **more)
            ids += [answer.json()] if answer.is_success else []
        assert answer.is_success == is_free(sent, after), (step, answer.text)
        them = after if answer.is_success else them
        assert meter.shown() == {
            (one.reading.time - START) / MINUTE: float(one.reading.kwh)
            for one in standing(sent, them)
        }, step
    assert 10 < len([one for one in them if not one.in_force]) < len(them) < 50


def test_late_readings_are_treated_as_all_others(meter: Device) -> None:
    meter.correct(2, 4, "void")
    meter.correct(5, 8, "shift", shiftSeconds=6_000)
    added = meter.correct(8, 9, "add", readings=meter.given(8.5))
    meter.send([2.25, 5.25])
    meter.send([8.5, 106], kwh=7)
    stand = without(2, 3, 5, 6, 7) | {105: 5, 105.25: 5.25, 106: 6, 107: 7, 8.5: 108.5}
    assert meter.shown() == stand
    assert meter.shown(corrected="false") == SENT | {2.25: 2.25, 5.25: 5.25, 8.5: 7, 106: 7}
    beside = meter.correct(105.5, 106.5, "add", readings=meter.given(106.25))
    assert meter.undo(beside).status_code == 204
    voided = meter.correct(8.5, 8.6, "void")
    assert meter.undo(voided).status_code == 204
    assert meter.shown() == stand
    assert meter.undo(added).status_code == 204
    assert meter.shown() == stand | {8.5: 7}


def test_a_late_reading_that_is_out_stays_out_where_the_next_one_moves_both(meter: Device) -> None:
    meter.correct(5, 6, "shift", shiftSeconds=-3_000)
    meter.correct(6, 7, "shift", shiftSeconds=3_000)
    meter.correct(55, 56, "shift", shiftSeconds=60)
    meter.send([-45, 55], kwh=7)
    assert meter.shown() == without(5, 6) | {-45: 5, 56: 7}
    meter.correct(-45, 57, "shift", shiftSeconds=6)
    assert meter.shown() == {t + 0.1: kwh for t, kwh in (without(5, 6) | {-45: 5, 56: 7}).items()}


def test_an_instant_that_is_taken_is_409(device: Device) -> None:
    def check(answer: httpx.Response, field: str, minute: float) -> None:
        details = check_problem(answer, 409)["details"]
        assert details == [{"field": field, "timestamp": at(minute)}]

    check(device.post(0, 10, "add", readings=device.given(4.5, 4)), "readings", 4)
    check(device.post(0, 5, "shift", shiftSeconds=60), "shiftSeconds", 5)
    check(device.post(5, 10, "shift", shiftSeconds=-240), "shiftSeconds", 1)
    assert device.shown() == SENT
    device.correct(0, 10, "shift", shiftSeconds=60)
    device.correct(1, 11, "shift", shiftSeconds=-60)
    voided = device.correct(3, 5, "void")
    used = device.correct(3, 5, "add", readings=device.given(4))
    check(device.undo(voided), "correctionId", 4)
    assert device.shown() == without(3) | {4: 104}
    assert device.undo(used).status_code == 204
    assert device.undo(voided).status_code == 204
    assert device.shown() == SENT


def test_of_those_who_ask_at_once_one_gets_an_instant(meter: Device) -> None:
    given = meter.given(4.5)
    with ThreadPoolExecutor(6) as at_once:
        asked = [at_once.submit(meter.post, 4, 5, "add", readings=given) for _ in range(6)]
        assert sorted(one.result().status_code for one in asked) == [201] + 5 * [409]


@pytest.mark.parametrize(
    ("changed", "fields"),
    [
        ({"endTime": at(0)}, ["endTime"]),
        ({"startTime": "2026-03-01"}, ["startTime"]),
        ({"reason": ""}, ["reason"]),
        ({"reason": "x" * 1_001}, ["reason"]),
        ({"action": "erase"}, ["action"]),
        ({"streamType": "charger"}, ["streamType"]),
        ({"readings": []}, ["readings"]),
        ({"readings": None}, ["readings"]),
        ({"action": "void"}, ["readings"]),
        ({"action": "shift", "readings": None}, ["shiftSeconds"]),
        ({"shiftSeconds": 1}, ["shiftSeconds"]),
        ({"action": "shift", "readings": None, "shiftSeconds": 0.000_000_4}, ["shiftSeconds"]),
        ({"readings": [{}]}, ["readings.0.kwhConsumedAc", "readings.0.timestamp"]),
        (
            {
                "readings": [
                    {"timestamp": at(1), "kwhConsumedAc": 1, "voltage": None, "more": 1},
                    {"timestamp": at(1), "kwhConsumedAc": 1},
                    {"timestamp": at(10), "kwhConsumedAc": 1},
                    {"timestamp": at(2), "kwhConsumedAc": -1},
                    {"timestamp": at(3), "kwhConsumedAc": 1, "voltage": 501},
                    {"timestamp": at(4), "kwhConsumedAc": 1, "meterId": "another"},
                    {"timestamp": "2012-01-01T00:00:00Z", "kwhConsumedAc": 1},
                    {"timestamp": "2112-01-01T00:00:00Z", "kwhConsumedAc": 1},
                ]
            },
            [
                "readings.1.timestamp",
                "readings.2.timestamp",
                "readings.3.kwhConsumedAc",
                "readings.4.voltage",
                "readings.5.meterId",
                "readings.6.timestamp",
                "readings.7.timestamp",
            ],
        ),
    ],
)
def test_what_cannot_be_is_400(
    api: httpx.Client, environment: dict[str, str], changed: dict[str, Any], fields: list[str]
) -> None:
    body: dict[str, Any] = {"deviceId": "nobody", "streamType": "meter", "action": "replace"}
    body |= {"reason": "why", "startTime": at(0), "endTime": at(10)}
    body |= {"readings": [{"timestamp": at(1), "kwhConsumedAc": 1}], **changed}
    problem = check_problem(api.post(PATH, json=body), 400)
    assert sorted(entry["field"] for entry in problem["details"]) == fields


def test_where_no_reading_can_be_none_is_moved(meter: Device) -> None:
    ahead = (datetime.now(UTC) - START).total_seconds() + SKEW_S + 60
    for shift in (ahead, ahead - 9 * 60):
        (problem,) = check_problem(meter.post(0, 60, "shift", shiftSeconds=shift), 400)["details"]
        assert problem["field"] == "shiftSeconds"
    with connect(meter.environment) as connection:
        retired = "INSERT INTO retired_days (history, day, rows) VALUES (%s, '2026-02-20', 1)"
        connection.execute(retired, ("vehicle_telemetry_history",))
    for first, shift in ((-20_000, 1), (0, -9 * 86_400)):
        answer = meter.post(first, 60, "shift", shiftSeconds=shift)
        (problem,) = check_problem(answer, 400)["details"]
        assert (problem["field"], "2026-02-20" in problem["message"]) == ("startTime", True)
    with connect(meter.environment) as connection:
        connection.execute("DELETE FROM retired_days")
    meter.correct(0, 60, "shift", shiftSeconds=ahead - SKEW_S - 660)


def test_nothing_is_moved_before_what_is_kept(meter: Device) -> None:
    days = (datetime.now(UTC) - START).days
    with ApiProcess({**meter.environment, "RETENTION_DAYS": f"{days + 5}"}) as process:
        meter.api = process.http
        answer = meter.post(0, 60, "shift", shiftSeconds=-6 * 86_400)
        (problem,) = check_problem(answer, 400)["details"]
        assert problem["field"] == "shiftSeconds" and "before what is kept" in problem["message"]
        meter.correct(0, 60, "shift", shiftSeconds=-4 * 86_400)


def test_of_what_is_not_there(api: httpx.Client, meter: Device) -> None:
    nobody = {"deviceId": "nobody", "streamType": "meter", "action": "void", "reason": "why"}
    nobody |= {"startTime": at(0), "endTime": at(1)}
    for stream in ("meter", "vehicle"):
        problem = check_problem(api.post(PATH, json=nobody | {"streamType": stream}), 404)
        assert problem["message"] == f"{stream.capitalize()} nobody not found"
    for name in (str(uuid4()), "1"):
        for ask in (api.get, api.delete):
            assert check_problem(ask(f"{PATH}/{name}"), 404)["message"] == (
                f"Correction {name} not found"
            )
    vehicle = Device(meter.api, meter.environment, "vehicle", meter.name)
    meter.correct(0, 5, "void")
    assert vehicle.shown() == SENT
    assert len(meter.shown()) == 5


def test_listed_as_they_were_made(api: httpx.Client, device: Device) -> None:
    made = [device.correct(n, n + 1, "void") for n in range(4)]
    assert device.undo(made[1]).status_code == 204
    mine = {"deviceId": device.name, "streamType": device.stream}
    seen, page = [], api.get(PATH, params=mine | {"limit": 2})
    while True:
        seen += page.json()
        if "next" not in page.links:
            break
        page = api.get(page.links["next"]["url"])
    assert seen == [made[0], *made[2:]]
    everything = api.get(PATH, params=mine | {"undone": "true"}).json()
    assert [one["correctionId"] for one in everything] == [one["correctionId"] for one in made]
    assert everything[1]["undoneBy"] == "api@127.0.0.1" and everything[1]["undoneAt"]
    assert api.get(f"{PATH}/{made[1]['correctionId']}").json() == everything[1]
    other = {"meter": "vehicle", "vehicle": "meter"}[device.stream]
    assert api.get(PATH, params=mine | {"streamType": other}).json() == []


def test_a_list_ends_where_there_are_many_readings(api: httpx.Client, meter: Device) -> None:
    seconds = [iso(START + timedelta(seconds=n, milliseconds=1)) for n in range(10_000)]
    given = [{"timestamp": time, "kwhConsumedAc": 1e-7, "voltage": 230.53} for time in seconds]
    for action in ("add", "replace"):
        made = meter.correct(0, 300, action, readings=given)
    mine = {"deviceId": meter.name}
    page = api.get(PATH, params=mine)
    assert len(page.json()) == 1
    assert api.get(page.links["next"]["url"]).json() == [made]
    found = meter.history().json()
    assert found == [{"meterId": meter.name} | one for one in given]
    too_many = meter.post(0, 300, "replace", readings=[*given, given[0]])
    assert [one["field"] for one in check_problem(too_many, 400)["details"]] == ["readings"]


def test_long_histories_in_both_views(meter: Device) -> None:
    """Steps and pages of a device whose readings are out for long, moved, and brought in."""
    with connect(meter.environment) as connection:
        for day in range(1, 6):
            connection.execute(
                "SELECT ensure_day_partition('meter_telemetry_history', %s)",
                ((START + timedelta(days=day)).date(),),
            )
        connection.execute(
            'INSERT INTO meter_telemetry_history (kwh_consumed_ac, "timestamp", meter_id)'
            " SELECT n, %s + n * interval '1 min', %s FROM generate_series(10, 7199) AS n",
            (START, meter.name),
        )
    sent = {float(n): float(n) for n in range(7_200)}
    meter.correct(100, 3_300, "void")
    meter.correct(3_300, 5_800, "shift", shiftSeconds=-50 * 60 + 30)
    meter.correct(5_801, 6_000, "add", readings=meter.given(5_801.75))
    meter.correct(0, 10, "shift", shiftSeconds=-6_000)
    meter.send([-95], kwh=3)
    stand = {n: kwh for n, kwh in sent.items() if 10 <= n < 100 or n >= 5_800}
    stand |= {n - 49.5: float(n) for n in range(3_300, 5_800)} | {5_801.75: 5_901.75}
    stand |= {n - 100: float(n) for n in range(10)}
    assert meter.shown() == stand
    assert meter.shown(corrected="false") == sent | {-95: 3}
    whole = {"id": meter.name, "start": START, "end": START + 10_000 * MINUTE}
    with connect(meter.environment) as connection:
        for most in (1, 10, 150, 3_000):
            until = load_for(METER)["corrected_until"]
            row: Any = connection.execute(until, whole | {"most": most}).fetchone()
            reached = (row[0] - START) / MINUTE
            assert most <= sum(0 <= minute < reached for minute in stand) <= most + 3, most
    lines = list(csv.reader(meter.history(format="csv").text.splitlines()))[1:]
    assert [float(line[1]) for line in lines] == [stand[n] for n in sorted(stand)]
    seen: list[Any] = []
    page = meter.history(limit=2_001)
    while True:
        seen += page.json()
        if "next" not in page.links:
            break
        assert len(page.json()) == 2_001
        page = meter.api.get(page.links["next"]["url"])
    assert seen == meter.history().json()


def test_the_rollups_hear_of_it(device: Device) -> None:
    def logged(ask: Any) -> list[Any]:
        with connect(device.environment) as connection:
            connection.execute("DELETE FROM rollup_log")
            ask()
            log = "SELECT first, past FROM rollup_log WHERE stream = %s AND devices = %s"
            rows = connection.execute(log, (device.stream, [device.name])).fetchall()
        return sorted(tuple((time - START) / MINUTE for time in row) for row in rows)

    made: list[dict[str, Any]] = []
    found = logged(lambda: made.append(device.correct(2, 4, "shift", shiftSeconds=3_600)))
    assert found == [(2, 4), (62, 64)]
    assert logged(lambda: device.undo(made[-1])) == found
    assert logged(lambda: device.correct(2, 4, "void")) == [(2, 4)]
    assert logged(lambda: device.correct(2, 4, "add", readings=device.given(3))) == [(2, 4)]
    assert logged(lambda: device.post(0, 10, "add", readings=device.given(5))) == []


@pytest.mark.parametrize("shift", [3e9, -3e9])
def test_windows_of_all_times_stop_no_rollups(meter: Device, shift: float) -> None:
    windows = [
        ("0001-01-01T00:00:00Z", "0001-01-02T00:00:00Z"),
        ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"),
        ("9999-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"),
    ]
    for start, end in windows:
        times = {"startTime": start, "endTime": end}
        for action, more in (("void", {}), ("shift", {"shiftSeconds": shift})):
            answer = meter.post(0, 1, action, **times, **more)
            assert answer.status_code in (201, 400), answer.text
            with connect(meter.environment) as connection:
                now = datetime.now(UTC)
                assert bring_up_to_date(connection, settings_of(meter.environment), now, 60)
                left = connection.execute("SELECT count(*) FROM rollup_log").fetchone()
                assert left == (0,)
            if answer.status_code == 201:
                assert meter.undo(answer.json()).status_code == 204
