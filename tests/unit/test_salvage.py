"""A reading whose energy is right is salvaged without its other values; nothing else is."""

import json
from typing import Any

import pytest

from ingest_worker.write.batch import Batch
from ingest_worker.write.cutting import cut_before
from schemas.streams import METER, VEHICLE
from schemas.streams.decoder import Decoder
from schemas.streams.rejection import MAX_BAD_READINGS, REPAIRED, Rejection
from schemas.streams.stream import Row
from schemas.streams.times import DAY_US, ClockLimits, parse_timestamp
from tests.charger import CHARGER
from tests.sinks import METERS, Record

TIME = "2026-01-30T12:00:00Z"
AT = parse_timestamp(TIME)
LIMITS = ClockLimits(AT - DAY_US, AT + DAY_US)
SALVAGING = Decoder(VEHICLE, salvage=VEHICLE.expendable)
STRICT = Decoder(VEHICLE)
MANY = 5 * MAX_BAD_READINGS
"""Bad readings: more than fold a record, and more than one chunk holds."""


def vehicle(**fields: Any) -> dict[str, Any]:
    own = {"vehicleId": "V", "soc": 50, "kwhDeliveredDc": 1.5, "batteryTemp": 20}
    return {**own, "timestamp": TIME, **fields}


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in vehicle().items() if name not in names}


def decode(value: bytes, decoder: Decoder = SALVAGING) -> tuple[list[Row], list[Rejection]]:
    rows, _, rejections = decoder.decode(value, LIMITS)
    return rows, rejections


@pytest.mark.parametrize(
    ("reading", "row", "dropped"),
    [
        (vehicle(soc=65535), (1.5, AT, None, 20, "V"), ("soc",)),
        (vehicle(soc=None), (1.5, AT, None, 20, "V"), ("soc",)),
        (vehicle(soc="50"), (1.5, AT, None, 20, "V"), ("soc",)),
        (vehicle(soc=True), (1.5, AT, None, 20, "V"), ("soc",)),
        (vehicle(soc=[{"soc": 1}]), (1.5, AT, None, 20, "V"), ("soc",)),
        (without("soc"), (1.5, AT, None, 20, "V"), ("soc",)),
        (vehicle(batteryTemp=-100), (1.5, AT, 50, None, "V"), ("batteryTemp",)),
        (without("soc", "batteryTemp"), (1.5, AT, None, None, "V"), ("soc", "batteryTemp")),
    ],
)
def test_what_is_wrong_beside_the_energy_is_null(
    reading: dict[str, Any], row: Row, dropped: tuple[str, ...]
) -> None:
    value = json.dumps(reading).encode()
    rows, (rejection,) = decode(value)
    assert rows == [row]
    assert (rejection.reason, rejection.dropped, rejection.raw) == (REPAIRED, dropped, value)
    assert (rejection.device_id, rejection.time, rejection.place) == ("V", AT, 0)
    assert decode(value, STRICT)[0] == []


@pytest.mark.parametrize(
    "reading",
    [
        vehicle(soc=-1, kwhDeliveredDc=-1),
        vehicle(soc=-1, kwhDeliveredDc=None),
        vehicle(soc=-1, kwhDeliveredDc="1.5"),
        vehicle(soc=-1, vehicleId=""),
        vehicle(soc=-1, vehicleId="\x7f"),
        vehicle(soc=-1, timestamp="2026-01-30T12:00:00"),
        vehicle(soc=-1, timestamp="2026-02-30T12:00:00Z"),
        without("soc", "kwhDeliveredDc"),
        without("soc", "vehicleId"),
        without("soc", "timestamp"),
        [vehicle()],
        "soc",
        None,
    ],
)
def test_what_is_wrong_with_energy_id_or_time_rejects_it_all(reading: Any) -> None:
    value = json.dumps([reading]).encode()
    rows, (rejection,) = decode(value)
    assert (rows, rejection.reason) == ([], "invalid")
    assert decode(value, STRICT) == ([], [rejection])


def test_a_time_that_is_not_accepted_is_so_however_little_is_good_otherwise() -> None:
    value = json.dumps(vehicle(soc=-1, timestamp="2027-01-30T12:00:00Z")).encode()
    rows, (rejection,) = decode(value)
    assert (rows, rejection.reason, rejection.dropped) == ([], "in_future", ())


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ('"soc": 1e400', (1.5, AT, None, 20, "V")),
        ('"soc": -1, "soc": 50', (1.5, AT, None, 20, "V")),
        ('"soc": 50, "soc": null', (1.5, AT, None, 20, "V")),
        ('"soc": -1, "batteryTemp": -0.0', (1.5, AT, None, 0, "V")),
        ('"\\u0073oc": 101', (1.5, AT, None, 20, "V")),
    ],
)
def test_each_value_of_a_repeated_key_has_to_be_valid(text: str, row: Row) -> None:
    value = json.dumps(vehicle())[:-1] + f", {text}}}"
    rows, (rejection,) = decode(value.encode())
    assert (rows, rejection.dropped) == ([row], ("soc",))
    assert "-0.0" not in map(str, rows[0])


@pytest.mark.parametrize(
    "text",
    ['"timestamp": "no", "timestamp": "2026-01-30T12:00:00Z"', '"kwhDeliveredDc": -1', '"x": NaN'],
)
def test_a_repeated_key_hides_nothing_from_salvage(text: str) -> None:
    start = json.dumps(vehicle(soc=None))[:-1]
    rows, (rejection,) = decode(f'{start}, {text}, "kwhDeliveredDc": 1}}'.encode())
    assert rows == []
    assert rejection.reason != REPAIRED


def test_a_third_stream_says_itself_what_it_can_do_without() -> None:
    decoder = Decoder(CHARGER, salvage=CHARGER.expendable)
    reading = {"chargerId": "C", "powerKw": 2, "timestamp": TIME}
    rows, rejections = decode(json.dumps(reading).encode(), decoder)
    assert (rows, rejections) == ([(2, AT, None, "C")], [])  # an optional value may be missing
    rows, (rejection,) = decode(json.dumps({**reading, "cableTemp": 999}).encode(), decoder)
    assert (rows, rejection.dropped) == ([(2, AT, None, "C")], ("cableTemp",))
    rows, (rejection,) = decode(json.dumps({**reading, "powerKw": 1001}).encode(), decoder)
    assert (rows, rejection.reason) == ([], "invalid")


def test_only_the_fields_that_are_named_are_given_up() -> None:
    decoder = Decoder(VEHICLE, salvage=["soc"])
    assert decode(json.dumps(vehicle(soc=-1)).encode(), decoder)[0]
    rows, (rejection,) = decode(json.dumps(vehicle(soc=-1, batteryTemp=999)).encode(), decoder)
    assert (rows, rejection.reason) == ([], "invalid")


def test_of_an_array_each_reading_is_what_it_is() -> None:
    value = json.dumps([vehicle(), vehicle(soc=-1), 0, vehicle(vehicleId="W", soc=None)]).encode()
    rows, places, rejections = SALVAGING.decode(value, LIMITS)
    assert [(row[2], row[-1]) for row in rows] == [(50, "V"), (None, "V"), (None, "W")]
    assert places == [0, 1, 3]
    assert {r.place: r.reason for r in rejections} == {1: REPAIRED, 2: "invalid", 3: REPAIRED}


def test_salvaged_readings_are_none_of_those_that_fold_a_record() -> None:
    short = {"meterId": "M", "kwhConsumedAc": 0, "timestamp": TIME}
    several = [0] * MANY + [short]
    value = json.dumps(several, separators=(",", ":")).encode()
    rows, places, (folded, repaired) = Decoder(METER, salvage=METER.expendable).decode(
        value, LIMITS
    )
    assert (rows, places) == ([(0, AT, None, "M")], [MANY])
    assert (folded.place, folded.reason) == (None, "malformed")
    assert (repaired.place, repaired.reason) == (MANY, REPAIRED)


def test_a_part_that_is_cut_keeps_what_was_repaired_before() -> None:
    batch = Batch(
        {"meters": Decoder(METER, salvage=METER.expendable)},
        max_readings=100,
        max_bytes=10**6,
        max_record_bytes=10**6,
        limits=lambda: LIMITS,
    )
    times = (TIME, "2026-01-31T11:00:00Z")
    values = [{"meterId": "M", "kwhConsumedAc": 0, "timestamp": time} for time in times]
    batch.add(METERS, 0, [Record(n, json.dumps(one).encode()) for n, one in enumerate(values)])
    (part,) = batch.parts.values()
    assert (batch.readings, part.readings, sorted(part.repaired)) == (2, 2, [0, 1])
    before = cut_before(part, {AT // DAY_US + 1})
    assert before is not None
    assert (len(before.rows), list(before.repaired)) == (1, [0])


@pytest.mark.parametrize(
    ("fields", "time"),
    [
        ({"soc": -1}, AT),
        ({"vehicleId": 5}, AT),
        ({"soc": -1, "timestamp": "2027-01-30T12:00:00.5Z"}, AT + 365 * DAY_US + 500_000),
        ({"timestamp": "2027-01-30T12:00:00Z"}, AT + 365 * DAY_US),
        ({"timestamp": "yesterday"}, None),
        ({"timestamp": 5}, None),
        ({"soc": -1, "timestamp": "9999-12-31T23:59:59-23:59"}, None),
        ({"soc": -1, "timestamp": "9999-12-31T23:59:59.999999Z"}, None),
        ({"soc": -1, "timestamp": "0001-01-01T00:00:00Z"}, None),
    ],
)
def test_a_rejected_reading_knows_its_time_where_it_can_be_read(
    fields: dict[str, Any], time: int | None
) -> None:
    _, (rejection,) = decode(json.dumps(vehicle(**fields)).encode(), STRICT)
    assert rejection.time == time
