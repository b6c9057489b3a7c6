"""The decoder: each kind of value becomes rows or exactly one rejection, never an exception."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.streams import METER, VEHICLE
from schemas.streams.decoder import Decoder
from schemas.streams.rejection import Rejection
from schemas.streams.stream import DEVICE, TIME, Row, Stream
from schemas.streams.times import (
    clock_limits,
    format_micros,
    parse_timestamp,
    to_datetime,
    to_micros,
)
from schemas.text import check_id

NOW = datetime(2026, 2, 1, 12, tzinfo=UTC)
LIMITS = clock_limits(NOW, max_age_days=730, retention_days=0, max_skew_seconds=300)
GOOD = {
    "meterId": "MTR-001",
    "kwhConsumedAc": 150.5,
    "voltage": 230.5,
    "timestamp": "2026-01-31T12:00:00Z",
}
RAW = json.dumps(GOOD).encode()


def row_of(value: bytes | None, stream: Stream = METER) -> Row:
    """The row that the only reading of a record becomes."""
    (row,), _, rejections = Decoder(stream).decode(value, LIMITS)
    assert not rejections
    return row


def rejection_of(value: bytes | None) -> Rejection:
    """Why the only reading of a record is rejected."""
    rows, _, (rejection,) = Decoder(METER).decode(value, LIMITS)
    assert not rows
    return rejection


def changed(**fields: Any) -> bytes:
    return json.dumps({**GOOD, **fields}).encode()


def test_a_good_reading_is_a_row_in_the_order_of_its_table() -> None:
    micros = to_micros(datetime(2026, 1, 31, 12, tzinfo=UTC))
    assert row_of(RAW) == METER.row("MTR-001", micros, kwhConsumedAc=150.5, voltage=230.5)
    vehicle = (
        b'{"vehicleId":"VH-1","soc":75.5,"kwhDeliveredDc":45.2,"batteryTemp":-32.5,'
        b'"timestamp":"2026-01-31T12:00:00Z"}'
    )
    values = {"kwhDeliveredDc": 45.2, "soc": 75.5, "batteryTemp": -32.5}
    assert row_of(vehicle, VEHICLE) == VEHICLE.row("VH-1", micros, **values)
    assert list(row_of(vehicle, VEHICLE))[:4] == [45.2, micros, 75.5, -32.5]


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b" \n",
        b"[]",
        b"[ ]",
        RAW[:-1],
        RAW + b"x",
        RAW + RAW,
        b"\xef\xbb\xbf" + RAW,
        RAW.decode().encode("utf-16"),
        b'{"meterId": 5, "kwh',
        RAW.replace(b"150.5", b"NaN"),
        RAW.replace(b"150.5", b"-Infinity"),
        RAW.replace(b"150.5", b"01"),
        RAW.replace(b"150.5", b".5"),
        RAW.replace(b"MTR-001", b"\xff"),
        RAW[:-1] + b',"ignored":"\xff"}',
        RAW[:-1] + b',"ignored":NaN}',
        RAW[:-1] + b",}",
        b"[" + RAW + b"," + RAW[:-5],
        b"[" + RAW + b",]",
        b"'" + RAW + b"'",
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b" " * 1_000_000,
        b"\x00" * 10,
    ],
    ids=lambda value: repr(value)[:40],
)
def test_malformed(value: bytes | None) -> None:
    rejection = rejection_of(value)
    assert (rejection.place, rejection.reason, rejection.raw) == (None, "malformed", value or b"")
    assert rejection.detail


@pytest.mark.parametrize(
    "value",
    [
        b"null",
        b"5",
        b'"text"',
        b"true",
        b"{}",
        b"[null]",
        b"[[]]",
        b"[5]",
        b"[[" + RAW + b"]]",
        changed(meterId=5),
        changed(meterId=""),
        changed(meterId="M" * 65),
        changed(meterId="M\0"),
        changed(meterId="M\x1f"),
        changed(meterId="M\x7f"),
        changed(meterId="M\x85"),
        changed(meterId=None),
        changed(kwhConsumedAc="1"),
        changed(kwhConsumedAc=True),
        changed(kwhConsumedAc=None),
        changed(kwhConsumedAc=-0.001),
        changed(kwhConsumedAc=10**400),
        RAW.replace(b"150.5", b"1e400"),
        RAW.replace(b"150.5", b"-1e400"),
        changed(voltage=500.1),
        changed(voltage=-1),
        changed(timestamp="2026-01-31T12:00:00"),
        changed(timestamp="2026-01-31 12:00:00Z"),
        changed(timestamp="2026-01-31t12:00:00z"),
        changed(timestamp="2026-01-31T12:00:00+0000"),
        changed(timestamp="2026-01-31T12:00:00+00"),
        changed(timestamp="2026-01-31T12:00:00+24:00"),
        changed(timestamp="2026-01-31T12:00:00+05:60"),
        changed(timestamp="2026-01-31T12:00:00.Z"),
        changed(timestamp="2026-01-31T12:00:00,5Z"),
        changed(timestamp="2026-01-31T12:00Z"),
        changed(timestamp="2026-01-31T12:00:60Z"),
        changed(timestamp="2026-01-31T24:00:00Z"),
        changed(timestamp="2026-02-30T12:00:00Z"),
        changed(timestamp="20260131T120000Z"),
        changed(timestamp="0000-01-31T12:00:00Z"),
        changed(timestamp="２０２６-01-31T12:00:00Z"),
        changed(timestamp=" 2026-01-31T12:00:00Z"),
        changed(timestamp="2026-01-31T12:00:00Z "),
        changed(timestamp="2026-01-31T12:00:00Z\n"),
        changed(timestamp="\u00002026"),
        changed(timestamp=1769860800),
        json.dumps({"meterId": "M"}).encode(),
        RAW.replace(b'"voltage": 230.5', b'"voltage": 999, "voltage": 230.5'),
    ],
    ids=lambda value: repr(value)[:90],
)
def test_invalid(value: bytes) -> None:
    rejection = rejection_of(value)
    assert (rejection.place, rejection.reason) == (0, "invalid")
    assert rejection.detail
    assert "\x00" not in rejection.detail + (rejection.device_id or "")


@pytest.mark.parametrize("value", [changed(meterId="\ud800"), RAW[:-1] + b',"x":"\\ud800"}'])
def test_lone_surrogates_are_rejected(value: bytes) -> None:
    assert rejection_of(value).reason in ("malformed", "invalid")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (changed(timestamp="1970-01-01T00:00:00Z"), "too_old"),
        (changed(timestamp="0001-01-01T00:00:00+14:00"), "too_old"),
        (changed(timestamp="2024-02-02T11:59:59.999999Z"), "too_old"),
        (changed(timestamp="2026-02-01T12:05:00.000001Z"), "in_future"),
        (changed(timestamp="2106-02-07T06:28:16Z"), "in_future"),
        (changed(timestamp="9999-12-31T23:59:59-14:00"), "in_future"),
    ],
)
def test_clocks(value: bytes, reason: str) -> None:
    rejection = rejection_of(value)
    assert (rejection.reason, rejection.device_id, rejection.raw) == (reason, "MTR-001", value)


@pytest.mark.parametrize("time", ["2024-02-02T12:00:00Z", "2026-02-01T12:05:00Z"])
def test_the_ends_of_the_accepted_time_are_accepted(time: str) -> None:
    assert row_of(changed(timestamp=time))[DEVICE] == "MTR-001"


def test_retention_shortens_the_accepted_time() -> None:
    def reason(retention_days: int) -> list[str]:
        limits = clock_limits(
            NOW + timedelta(seconds=1),
            max_age_days=730,
            retention_days=retention_days,
            max_skew_seconds=300,
        )
        return [rejection.reason for rejection in Decoder(METER).decode(RAW, limits)[2]]

    assert (reason(1), reason(2)) == (["too_old"], [])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (changed(kwhConsumedAc=0), 0.0),
        (RAW.replace(b"150.5", b"-0.0"), 0.0),
        (RAW.replace(b"150.5", b"-0"), 0.0),
        (RAW.replace(b"150.5", b"1E2"), 100.0),
        (changed(kwhConsumedAc=10**30), 1e30),
        (RAW.replace(b'"voltage"', b'"kwhConsumedAc": 7, "voltage"'), 7.0),
        (RAW[:-1] + b',"extra":{"a":[1,null]}}', 150.5),
        (b"\n\t " + RAW + b" \r\n", 150.5),
    ],
)
def test_valid_though_unusual(value: bytes, expected: float) -> None:
    energy, *_ = row_of(value)
    assert (energy, str(energy)) == (expected, str(expected))


def test_ids_may_hold_any_other_character() -> None:
    for device_id in ("a b", "ä/ö", "M" * 64, "\U0001f600", "\u200b", "\xa0", '"', "/", "."):
        assert row_of(changed(meterId=device_id))[DEVICE] == device_id


def test_an_array_with_bad_elements_keeps_the_good_ones() -> None:
    old = changed(timestamp="1970-01-01T00:00:00Z")
    value = b"[" + b" , ".join([RAW, b"null", changed(meterId="B"), old]) + b"]"
    rows, places, rejections = Decoder(METER).decode(value, LIMITS)
    assert [row[-1] for row in rows] == ["MTR-001", "B"]
    assert places == [0, 2]
    assert [(r.place, r.reason, r.raw) for r in rejections] == [
        (1, "invalid", b"null"),
        (3, "too_old", old),
    ]


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)), st.integers(-1439, 1439))  # noqa: DTZ001
def test_times_with_any_offset(naive: datetime, minutes: int) -> None:
    offset = timedelta(minutes=minutes)
    sign, rest = "-" if minutes < 0 else "+", abs(minutes)
    text = f"{naive.isoformat()}{sign}{rest // 60:02}:{rest % 60:02}"
    expected = to_micros(naive.replace(tzinfo=UTC)) - offset // timedelta(microseconds=1)
    assert parse_timestamp(text) == expected
    assert parse_timestamp(naive.isoformat() + "Z") == to_micros(naive.replace(tzinfo=UTC))


@given(st.lists(st.datetimes(datetime(2026, 1, 30), datetime(2026, 1, 31)), min_size=1))  # noqa: DTZ001
def test_what_is_remembered_of_a_time_is_right(times: list[datetime]) -> None:
    for naive in times * 2:
        milliseconds = naive.replace(microsecond=naive.microsecond // 1000 * 1000)
        for shown in (naive, milliseconds, naive.replace(microsecond=0)):
            for timespec in ("auto", "milliseconds"):
                text = shown.isoformat(timespec=timespec) + "Z"
                expected = to_micros(datetime.fromisoformat(text))
                assert row_of(changed(timestamp=text))[TIME] == expected


def test_fractions_are_cut_to_microseconds() -> None:
    second = parse_timestamp("2026-01-31T12:00:00Z")
    assert parse_timestamp("2026-01-31T12:00:00.1Z") == second + 100_000
    assert parse_timestamp("2026-01-31T12:00:00.123456999Z") == second + 123_456
    assert format_micros(second + 1) == "2026-01-31T12:00:00.000001Z"


@given(st.binary(max_size=200))
def test_no_bytes_raise(value: bytes) -> None:
    rows, _, rejections = Decoder(VEHICLE).decode(value, LIMITS)
    assert len(rows) + len(rejections) >= 1


@given(st.integers(-(10**15), 10**15))
def test_micros_and_datetimes_are_each_others_inverse(micros: int) -> None:
    assert to_micros(to_datetime(micros)) == micros


def test_check_id_says_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="control character"):
        check_id("a\nb")
    with pytest.raises(ValueError, match="1 to 64"):
        check_id("")


@pytest.mark.parametrize(
    "extra",
    [
        b'"timestamp":"soon"',
        b'"timestamp":"2026-13-31T12:00:00Z"',
        b'"time\\u0073tamp":"soon"',
        b'"meterId":"M\\u0000"',
        b'"voltage":501',
    ],
)
def test_each_of_repeated_keys_must_be_valid(extra: bytes) -> None:
    repeated = b"{" + extra + b"," + RAW[1:]
    assert rejection_of(repeated).reason == "invalid"
    assert Decoder(METER).decode_singles([RAW, repeated], LIMITS) is None
    rows, places, rejections = Decoder(METER).decode(b"[" + RAW + b"," + repeated + b"]", LIMITS)
    assert (len(rows), places) == (1, [0])
    assert [(one.place, one.reason) for one in rejections] == [(1, "invalid")]


def test_the_last_of_repeated_keys_counts_and_ignored_ones_are_ignored() -> None:
    again = b'{"meterId":"first","timestamp":"2026-01-01T00:00:00Z",' + RAW[1:]
    assert row_of(again) == row_of(RAW)
    nested = RAW[:-1] + b',"ignored":{"timestamp":"soon","meterId":' + b"9" * 5000 + b"}}"
    assert row_of(nested) == row_of(RAW)
