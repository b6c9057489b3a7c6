"""A rescue changes of a reading what it is told to, exactly, and nothing else."""

import json
from typing import Any

import pytest

from ingest_worker.options import parser, rescue_of
from schemas.session_events import SESSION_EVENTS
from schemas.streams import METER, VEHICLE
from schemas.streams.rescue import Rescue
from schemas.streams.times import SECOND_US

TIME = "2026-01-30T12:00:00Z"
RAW = (
    b'{"vehicleId": "V", "soc": 50, "kwhDeliveredDc": 10500.1, "batteryTemp": 20,'
    b' "timestamp": "2026-01-30T12:00:00Z", "note": {"soc": 1e400}}'
)


def rescue(*words: str) -> Rescue:
    """What the command makes of these options."""
    return rescue_of(parser().parse_args(["rejected", "replay", "--all", *words]))


def changed(*words: str, raw: bytes = RAW) -> dict[str, Any]:
    """The reading that comes of it; numbers stay text."""
    found: dict[str, Any] = json.loads(
        rescue(*words).apply(VEHICLE, raw), parse_float=str, parse_int=str
    )
    return found


def test_without_a_change_the_bytes_stay_as_they_are() -> None:
    assert rescue().apply(VEHICLE, b"no JSON") == b"no JSON"
    assert str(rescue()) == ""


def test_fields_are_dropped_set_shifted_and_scaled() -> None:
    assert "soc" not in changed("--drop", "soc")
    assert changed("--drop", "soc")["note"] == {"soc": "1e400"}
    assert changed("--set", "soc=51.50")["soc"] == "51.50"
    assert changed("--set", 'vehicleId="W"')["vehicleId"] == "W"
    assert changed("--shift", "-3600")["timestamp"] == "2026-01-30T11:00:00Z"
    assert changed("--shift", "0.5")["timestamp"] == "2026-01-30T12:00:00.500000Z"
    assert changed("--unit", "Wh")["kwhDeliveredDc"] == "10.5001"


def test_session_events_are_mended_likewise() -> None:
    words = ("--set", 'transactionId="T"', "--drop", "meterStart", "--drop", "connectorId")
    event = b'{"event":"start","meterStart":"n/a","connectorId":-1}'
    mended = rescue(*words).apply(SESSION_EVENTS, event)
    assert json.loads(mended) == {"event": "start", "transactionId": "T"}


def test_values_come_first_then_unit_and_time() -> None:
    words = ("--set", "kwhDeliveredDc=2500", "--unit", "Wh", "--set", f'timestamp="{TIME}"')
    found = changed(*words, "--shift", "60", raw=b"{}")
    assert found == {"kwhDeliveredDc": "2.500", "timestamp": "2026-01-30T12:01:00Z"}


@pytest.mark.parametrize(
    ("number", "kwh"),
    [
        ("0", "0.000"),
        ("-0", "-0.000"),
        ("1", "0.001"),
        ("0.1", "0.0001"),
        ("12345678901234567890123456789012345678901234567890", None),
        ("1e3", "1"),
        ("1E400", "1E+397"),
        ("0.00000000000000000000000001", "1E-29"),
    ],
)
def test_watt_hours_become_kilowatt_hours_exactly(number: str, kwh: str | None) -> None:
    raw = RAW.replace(b"10500.1", number.encode())
    kwh = kwh or "12345678901234567890123456789012345678901234567.890"
    assert changed("--unit", "Wh", raw=raw)["kwhDeliveredDc"] == kwh


def test_what_was_changed_is_said_in_a_few_words() -> None:
    words = ("--unit", "Wh", "--set", "soc=5", "--shift=-0.5", "--drop", "batteryTemp")
    assert str(rescue(*words)) == "set soc=5, unit Wh, shift -0.5 s, drop batteryTemp"
    assert str(rescue("--shift", "3600")) == "shift 3600 s"


@pytest.mark.parametrize(
    ("words", "raw", "why"),
    [
        (["--unit", "Wh"], b'{"kwhDeliveredDc": "5"}', "its kwhDeliveredDc is no number"),
        (["--unit", "Wh"], b'{"kwhDeliveredDc": null}', "its kwhDeliveredDc is no number"),
        (["--unit", "Wh"], b'{"kwhDeliveredDc": true}', "its kwhDeliveredDc is no number"),
        (["--unit", "Wh"], b"{}", "its kwhDeliveredDc is no number"),
        (["--unit", "Wh"], b'{"kwhDeliveredDc": 1e99999999999999999999}', "is no number"),
        (["--shift", "1"], b'{"timestamp": "noon"}', "no time that could be shifted"),
        (["--shift", "1"], b'{"timestamp": 5}', "no time that could be shifted"),
        (["--shift", "1"], b"{}", "no time that could be shifted"),
        (["--shift", "9999999999"], b'{"timestamp": "9900-01-30T12:00:00Z"}', "leave the years"),
        (["--drop", "soc"], b"[1]", "no JSON object"),
        (["--drop", "soc"], b"NaN", "no JSON object"),
        (["--drop", "soc"], b'{"soc": NaN}', "no JSON object"),
        (["--drop", "soc"], b"\xff", "no JSON object"),
        (["--drop", "soc"], b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "no JSON object"),
        (["--drop", "soc"], b'{"timestamp": 1, "timestamp": 2}', "timestamp more than once"),
        (["--shift", "1"], b'{"timestamp": 1, "timest\\u0061mp": 2}', "timestamp more than once"),
        (["--drop", "voltage"], RAW, "a vehicle's reading has no voltage"),
        (["--set", 'meterId="M"'], RAW, "a vehicle's reading has no meterId"),
    ],
)
def test_what_cannot_be_changed_is_said_in_one_line(words: list[str], raw: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        rescue(*words).apply(VEHICLE, raw)
    assert "\n" not in str(caught.value)


def test_a_key_that_is_replaced_may_have_come_twice() -> None:
    raw = b'{"soc": -1, "soc": 5, "voltage": 1, "voltage": 2}'
    assert changed("--drop", "soc", raw=raw) == {"voltage": "2"}
    assert changed("--set", "soc=7", raw=raw)["soc"] == "7"


@pytest.mark.parametrize(
    "words",
    [
        ["--drop", "kwhConsumedAc"],
        ["--drop", "timestamp"],
        ["--drop", "nothing"],
        ["--set", "soc"],
        ["--set", "soc="],
        ["--set", "soc=fifty"],
        ["--set", "soc=NaN"],
        ["--set", "soc=1 2"],
        ["--set", "nothing=1"],
        ["--shift", "an hour"],
        ["--shift", "1e3"],
        ["--shift", "0.0000001"],
        ["--shift", "99999999999"],
        ["--unit", "kWh"],
    ],
)
def test_options_that_make_no_sense_are_refused(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        rescue(*words)
    assert ended.value.code == 2
    assert words[0] in capsys.readouterr().err.splitlines()[-1]


def test_a_meter_is_rescued_by_its_own_names() -> None:
    raw = json.dumps({"meterId": "M", "kwhConsumedAc": 1500, "timestamp": TIME}).encode()
    found = Rescue(unit="Wh", shift_us=SECOND_US, drop=("voltage",)).apply(METER, raw)
    assert json.loads(found) == {
        "meterId": "M",
        "kwhConsumedAc": 1.5,
        "timestamp": "2026-01-30T12:00:01Z",
    }
