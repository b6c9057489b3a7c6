"""Poison among good readings: each bad value ends as one outcome that an operator can read.

Real Kafka, a real worker; every bad record has good neighbours, and all of those are stored.
"""

import asyncio
import json
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from tests.connections import connect
from tests.kafka import options_of
from tests.workers import WorkerProcess, books, wait_until

NOW = datetime.now(UTC).replace(microsecond=0)
BROKERS_LIMIT = 1_048_588
"""Kafka's message.max.bytes: of a batch of records, its overhead included."""
BATCH_OVERHEAD = 100
MEBIBYTE = 1024 * 1024
MALFORMED, INVALID = {"malformed"}, {"invalid"}
EITHER = MALFORMED | INVALID
STORED: set[str] = set()


def good(device: str = "POISONED", **fields: Any) -> bytes:
    """A meter's reading, with some fields replaced; None leaves one out."""
    body = {"meterId": device, "kwhConsumedAc": 1.5, "voltage": 230.5, "timestamp": iso(NOW)}
    return json.dumps({k: v for k, v in (body | fields).items() if v is not None}).encode()


def iso(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def with_text(name: str, text: str) -> bytes:
    """A reading with a field's JSON replaced by any text."""
    return good(**{name: "@"}).replace(b'"@"', text.encode())


VALUES: dict[str, tuple[bytes | None, set[str]]] = {
    # Not JSON.
    "tombstone": (None, MALFORMED),
    "empty": (b"", MALFORMED),
    "a megabyte of spaces": (b" " * 1_000_000, MALFORMED),
    "not UTF-8": (b'{"meterId":"\xff\xfe"}', MALFORMED),
    "UTF-16": (good().decode().encode("utf-16"), MALFORMED),
    "byte order mark": (b"\xef\xbb\xbf" + good(), MALFORMED),
    "bad UTF-8 in an ignored field": (good(x="@").replace(b"@", b"\xc3\x28"), MALFORMED),
    "truncated": (good()[:-10], MALFORMED),
    "trailing bytes": (good() + b"x", MALFORMED),
    "two objects": (good() + good(), MALFORMED),
    "two objects with a comma": (good() + b"," + good(), MALFORMED),
    "random bytes": (random.Random(1).randbytes(500), MALFORMED),
    "NUL bytes": (b"\0" * 100, MALFORMED),
    "NaN": (with_text("kwhConsumedAc", "NaN"), MALFORMED),
    "Infinity": (with_text("kwhConsumedAc", "-Infinity"), MALFORMED),
    "single quotes": (good().replace(b'"', b"'"), MALFORMED),
    "trailing comma": (good()[:-1] + b",}", MALFORMED),
    "leading zero": (with_text("voltage", "0230"), MALFORMED),
    "hexadecimal": (with_text("voltage", "0xE6"), MALFORMED),
    "raw line feed in a string": (with_text("meterId", '"A\nB"'), MALFORMED),
    "empty array": (b"[]", MALFORMED),
    "truncated array": (b"[" + good() + b",", MALFORMED),
    "nested 100,000 deep": (b"[" * 100_000 + b"]" * 100_000, EITHER),
    "objects nested 100,000 deep": (
        with_text("x", '{"x":' * 100_000 + "1" + "}" * 100_000),
        EITHER,
    ),
    # JSON that is no reading.
    "null": (b"null", INVALID),
    "a number": (b"17", INVALID),
    "a string": (b'"reading"', INVALID),
    "true": (b"true", INVALID),
    "no field": (b"{}", INVALID),
    "array in an array": (b"[[" + good() + b"]]", INVALID),
    "string for a number": (good(kwhConsumedAc="1.5"), INVALID),
    "boolean for a number": (good(voltage=True), INVALID),
    "null for a number": (with_text("voltage", "null"), INVALID),
    "object for a number": (good(voltage={}), INVALID),
    "number for an id": (good(meterId=7), INVALID),
    "id missing": (good(meterId=None), INVALID),
    "energy missing": (good(kwhConsumedAc=None), INVALID),
    "time missing": (good(timestamp=None), INVALID),
    "empty id": (good(""), INVALID),
    "id of 65 characters": (good("M" * 65), INVALID),
    "NUL in an id": (good("A\0B"), INVALID),
    "control character in an id": (good("A\x1bB"), INVALID),
    "lone surrogate in an id": (with_text("meterId", '"\\ud800"'), EITHER),
    "negative energy": (good(kwhConsumedAc=-0.001), INVALID),
    "voltage over 500": (good(voltage=500.001), INVALID),
    "1e400": (with_text("kwhConsumedAc", "1e400"), INVALID),
    "huge integer as voltage": (with_text("voltage", "9" * 400), INVALID),
    "huge integer as energy": (with_text("kwhConsumedAc", "9" * 5_000), INVALID),
    "time without an offset": (good(timestamp="2026-01-31T12:00:00"), INVALID),
    "time with a space": (good(timestamp="2026-01-31 12:00:00Z"), INVALID),
    "time as a number": (good(timestamp=1_769_860_800), INVALID),
    "30 February": (good(timestamp="2026-02-30T12:00:00Z"), INVALID),
    "24:00": (good(timestamp="2026-01-31T24:00:00Z"), INVALID),
    "a vehicle's reading": (b'{"vehicleId":"V","soc":1,"timestamp":"x"}', INVALID),
    "duplicate keys, the first bad": (
        good().replace(b'"voltage": 230.5', b'"voltage": "x", "voltage": 230.5'),
        INVALID,
    ),
    "in 1970": (good(timestamp="1970-01-01T00:00:00Z"), {"too_old"}),
    "in the year 1": (good(timestamp="0001-01-01T00:00:00Z"), {"too_old"}),
    "in 2106": (good(timestamp="2106-02-07T06:28:15Z"), {"in_future"}),
    "in 9999, beyond any offset": (
        good(timestamp="9999-12-31T23:59:59-23:59"),
        {"in_future", "invalid"},
    ),
    # Odd, but good.
    "-0": (with_text("kwhConsumedAc", "-0").replace(b"POISONED", b"MINUS-ZERO"), STORED),
    "space around it": (b" \r\n\t" + good("SPACED") + b"\n ", STORED),
    "unknown fields": (good("UNKNOWN-FIELDS", x={"y": [1, None]}), STORED),
    "duplicate keys": (
        good("TWICE").replace(b'"voltage": 230.5', b'"voltage": 1, "voltage": 230.5'),
        STORED,
    ),
    "an id of 64 astral characters": (good("\U0001f50b" * 64), STORED),
    "an id that looks like SQL": (good("'); DROP TABLE meters; --"), STORED),
    "nanoseconds": (
        good("NANOSECONDS", timestamp=f"{NOW:%Y-%m-%dT%H:%M:%S}.123456789Z"),
        STORED,
    ),
}
SIZES = {
    "at the broker's limit": b" " * (BROKERS_LIMIT - BATCH_OVERHEAD),
    "a reading at the broker's limit": good(
        "LARGE", x="x" * (BROKERS_LIMIT - BATCH_OVERHEAD - len(good("LARGE", x="")))
    ),
}
CODECS = ("gzip", "lz4", "snappy", "zstd")


def neighbours(start: int, count: int) -> Iterator[bytes]:
    """Good readings, each of its own second."""
    for number in range(start, start + count):
        yield good("GOOD", timestamp=iso(NOW - timedelta(seconds=number)))


async def send(
    environment: dict[str, str], values: Sequence[bytes | None], **options: Any
) -> list[int]:
    """Send records to the meters' first partition, with a key only where there is no value;
    returns their offsets."""
    options = {"max_request_size": BROKERS_LIMIT, "linger_ms": 20} | options
    producer = AIOKafkaProducer(**options_of(environment), **options)
    topic = environment["KAFKA_METER_TOPIC"]
    async with producer:
        sending = [
            await producer.send(topic, value, key=None if value is not None else b"K", partition=0)
            for value in values
        ]
        return [done.offset for done in await asyncio.gather(*sending)]


def read(environment: dict[str, str], count: int) -> float:
    """Have a worker read so many readings; returns the most memory it had, in MB."""
    with WorkerProcess(environment) as worker, connect(environment) as connection:
        everything = "SELECT coalesce(sum(read), 0) >= %s FROM ingest_offsets"
        wait_until(
            lambda: connection.execute(everything, (count,)).fetchone() == (True,),
            f"{count} were read",
        )
        status = Path(f"/proc/{worker.process.pid}/status").read_text()
        assert worker.terminate() == 0, worker.log
        return int(status.split("VmHWM:")[1].split()[0]) / 1024


def rejected(environment: dict[str, str]) -> dict[int, tuple[str, str, bytes]]:
    """Reason, detail and bytes by offset; one each."""
    with connect(environment) as connection:
        rows = connection.execute(
            'SELECT "offset", reason, detail, raw FROM rejected_records'
        ).fetchall()
    found = {offset: (reason, detail, raw) for offset, reason, detail, raw in rows}
    assert len(found) == len(rows)
    return found


def test_every_kind_of_poison_ends_as_one_outcome(own_environment: dict[str, str]) -> None:
    environment = own_environment
    values: list[bytes | None] = []
    for number, (value, _) in enumerate(VALUES.values()):
        values += [*neighbours(number, 1), value]
    offsets = asyncio.run(send(environment, values))
    read(environment, len(values))
    found = rejected(environment)
    for (name, (value, reasons)), offset in zip(VALUES.items(), offsets[1::2], strict=True):
        if reasons == STORED:
            assert offset not in found, (name, found[offset][:2])
            continue
        reason, detail, raw = found.pop(offset)
        assert reason in reasons, (name, reason, detail)
        assert detail.isprintable(), (name, detail)
        assert 3 < len(detail) < 300, (name, detail)
        assert raw.strip() == (value or b"").strip() or raw in (value or b""), name
    assert found == {}
    total = books(environment)["total"]
    stored = len(VALUES) + sum(reasons == STORED for _, reasons in VALUES.values())
    assert total == {
        "read": len(values),
        "stored": stored,
        "duplicate": 0,
        "rejected": len(values) - stored,
    }


def test_an_array_with_bad_elements_keeps_the_good_ones(own_environment: dict[str, str]) -> None:
    environment = own_environment
    first, second, third = neighbours(0, 3)
    array = b"[" + b", ".join([first, b"null", second, good(voltage=-1), third]) + b"]"
    asyncio.run(send(environment, [array]))
    read(environment, 5)
    with connect(environment) as connection:
        rows = connection.execute(
            "SELECT record_index, reason, raw FROM rejected_records ORDER BY record_index"
        ).fetchall()
    assert rows == [(1, "invalid", b"null"), (3, "invalid", good(voltage=-1))]
    assert books(environment)["total"]["stored"] == 3


def test_sizes_up_to_the_brokers_limit(own_environment: dict[str, str]) -> None:
    asyncio.run(send(own_environment, [*neighbours(0, 2), *SIZES.values(), *neighbours(2, 2)]))
    read(own_environment, 6)
    assert [reason for reason, _, _ in rejected(own_environment).values()] == ["malformed"]
    assert books(own_environment)["total"]["stored"] == 5


@pytest.mark.parametrize("codec", CODECS)
def test_every_codec(own_environment: dict[str, str], codec: str) -> None:
    values = [*neighbours(0, 50), b"junk", *neighbours(50, 50)]
    asyncio.run(send(own_environment, values, compression_type=codec))
    read(own_environment, 101)
    assert list(rejected(own_environment)) == [50]
    assert books(own_environment)["total"]["stored"] == 100


def test_a_row_that_only_postgresql_refuses_is_rejected_alone(
    own_environment: dict[str, str],
) -> None:
    environment = own_environment
    with connect(environment) as connection:
        connection.execute(
            "ALTER TABLE meter_telemetry_history ADD CONSTRAINT no_more_than_400_volts"
            " CHECK (voltage <= 400)"
        )
    refused = good("HIGH", voltage=450)
    values = [*neighbours(0, 150), refused, *neighbours(150, 150)]
    asyncio.run(send(environment, values))
    read(environment, len(values))
    ((offset, (reason, detail, raw)),) = rejected(environment).items()
    assert (offset, reason, raw) == (150, "refused", refused)
    assert "no_more_than_400_volts" in detail
    assert books(environment)["total"]["stored"] == 300


def test_hostile_records_hold_up_neither_their_neighbours_nor_the_worker(
    own_environment: dict[str, str],
) -> None:
    environment = {**own_environment, "MAX_RECORD_BYTES": str(5 * MEBIBYTE)}
    hostile = [
        array_of(b"0", 4 * MEBIBYTE),
        array_of(b"{}", 4 * MEBIBYTE),
        array_of(array_of(b"[]", MEBIBYTE), MEBIBYTE + 10),
        array_of(b"0", 1_000_000),
        b"[" * MEBIBYTE,
        b" " * 30 * MEBIBYTE,
    ]
    large = b"[" + b",".join(neighbours(1_000, 30_000)) + b"]"
    values = [b"".join(one) for value in [*hostile, large] for one in ([value], neighbours(0, 1))]
    sent = {"compression_type": "gzip", "max_request_size": 64 * MEBIBYTE}
    asyncio.run(send(environment, values, **sent))
    count = 2 * len(hostile) + 30_001
    peak_mb = read(environment, count)
    assert books(environment)["total"] == {
        "read": count,
        "stored": 30_001,
        "duplicate": len(hostile),
        "rejected": len(hostile),
    }
    with connect(environment) as connection:
        rows = connection.execute(
            "SELECT reason, octet_length(raw), raw_bytes FROM rejected_records ORDER BY id"
        ).fetchall()
    kept = [hostile[2][1:-1] if value is hostile[2] else value for value in hostile]
    assert rows == [
        ("invalid" if value is kept[2] else "malformed", min(len(value), MEBIBYTE), len(value))
        for value in kept
    ]
    assert peak_mb < 500


def array_of(value: bytes, size: int) -> bytes:
    return b"[" + b",".join([value] * (size // (len(value) + 1))) + b"]"
