"""One hostile request holds up nobody: whatever it says, its cost and its answer are bounded."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import orjson
import psutil
import pytest

from tests.answers import check_problem
from tests.api_process import ApiProcess
from tests.connections import connect
from tests.readings import meter, now

JSON = {"Content-Type": "application/json"}
MEBIBYTE = 1024 * 1024
INGEST = "/v1/telemetry/ingest"
BATCH = "/v1/telemetry/ingest/batch"
METERS = "/v1/devices/meters"
MAX_ANSWER_BYTES = 3 * MEBIBYTE
MAX_RSS_BYTES = 500 * 1_000_000
PATIENCE_S = 3.0
"""How long /health/live may take on a machine that is busy with other tests; alone, it is 0.1 s."""
CLIENTS = 12
KEYS = b",".join(b'"k%d":1' % number for number in range(650_000))
MANY = b"1," * 3_900_000 + b"1"


def many(*records: Any, count: int = 10_000) -> bytes:
    """A batch of `count` records, those given one after the other again and again."""
    return orjson.dumps({"records": [records[n % len(records)] for n in range(count)]})


HOSTILE: dict[str, tuple[str, bytes, int]] = {
    "80 unknown fields in each envelope": (
        BATCH,
        many(meter() | {f"k{n}": 1 for n in range(80)}, count=8_000),
        400,
    ),
    "a device with 650,000 unknown keys": (METERS, b'{"meterId":"K",%b}' % KEYS, 413),
    "metadata of 3.9 million numbers": (METERS, b'{"metadata":{"a":[%b]}}' % MANY, 413),
    "9,999 bad records": (BATCH, many(*[{"a": 1}] * 9_999, meter()), 202),
    "a voltage of 600 in each reading": (BATCH, many(meter(voltage=600)), 400),
    "3.9 million records": (BATCH, b'{"records":[%b]}' % MANY, 400),
    "650,000 fields in the batch": (BATCH, b"{%b}" % KEYS, 400),
    "650,000 fields in an envelope": (INGEST, b"{%b}" % KEYS, 400),
    "650,000 fields in a record": (BATCH, b'{"records":[{%b}]}' % KEYS, 400),
    "a reading of 7 MB": (INGEST, b'{"streamType":"meter","payload":{%b}}' % KEYS, 400),
    "one long name": (INGEST, b'{"%b":1}' % (b"x" * 8_000_000), 400),
    "a batch as large as may be": (BATCH, many(meter(note="x" * 680)), 202),
}


@pytest.fixture(scope="module")
def process(environment: dict[str, str]) -> Iterator[ApiProcess]:
    with ApiProcess(environment) as process:
        yield process


@pytest.mark.parametrize("what", HOSTILE)
def test_the_answer_is_short(process: ApiProcess, what: str) -> None:
    path, body, status = HOSTILE[what]
    assert len(body) <= 8 * MEBIBYTE
    answer = process.http.post(path, content=body, headers=JSON)
    assert answer.status_code == status, answer.text[:300]
    assert len(answer.content) < MAX_ANSWER_BYTES
    if status == 400:
        details = check_problem(answer, 400)["details"]
        assert 1 <= len(details) <= 101
        assert all(len(entry["field"]) + len(entry["message"]) <= 500 for entry in details)


def test_what_is_left_out_is_counted(process: ApiProcess) -> None:
    body = many(meter(voltage=600), count=150)
    details = check_problem(process.http.post(BATCH, content=body, headers=JSON), 400)["details"]
    assert [entry["field"] for entry in details[:2]] == [
        "records[0].payload.voltage",
        "records[1].payload.voltage",
    ]
    assert (len(details), details[-1]["message"]) == (101, "and 50 more bad records")
    unknown = {f"k{number}": 1 for number in range(130)}
    problem = check_problem(process.http.post(METERS, json={"meterId": "M"} | unknown), 400)
    assert problem["details"][-1]["message"] == "and 30 more problems"
    problem = check_problem(process.http.post(INGEST, json=meter() | unknown), 400)
    assert problem["details"][-1]["message"] == "and 30 more problems"
    answer = process.http.post(BATCH, json={"records": [meter(), meter() | unknown]})
    (error,) = answer.json()["errors"]
    assert error["message"].startswith("records[1].k0: unknown field; ")
    assert error["message"].endswith("; and 127 more problems")


def test_a_storm_of_them_blocks_nobody(process: ApiProcess, environment: dict[str, str]) -> None:
    with connect(environment) as connection:
        connection.execute(
            "INSERT INTO vehicles (vehicle_id, metadata) SELECT 'V' || n,"
            " jsonb_build_object('a', repeat(md5(n::text), 2000)) FROM generate_series(1, 300) AS n"
        )
    bodies = [(path, body) for path, body, _ in HOSTILE.values()] * 2
    over = threading.Event()

    def send(path: str, body: bytes) -> int:
        with httpx.Client(base_url=process.http.base_url, timeout=60) as client:
            client.get("/v1/devices/vehicles?limit=1000").raise_for_status()
            return client.post(path, content=body, headers=JSON).status_code

    def probe() -> list[float]:
        waits = []
        with httpx.Client(base_url=process.http.base_url, timeout=60) as client:
            while not over.is_set():
                began = time.monotonic()
                assert client.get("/health/live").status_code == 200
                waits.append(time.monotonic() - began)
        return waits

    server = psutil.Process(process.process.pid)
    with ThreadPoolExecutor(CLIENTS + 1) as threads:
        probing = threads.submit(probe)
        sending = [threads.submit(send, *each) for each in bodies]
        largest = 0
        while not all(each.done() for each in sending):
            largest = max(largest, server.memory_info().rss)
            over.wait(0.05)
        over.set()
        waits = probing.result()
    assert {each.result() for each in sending} <= {202, 400, 413, 503}
    assert max(waits) < PATIENCE_S
    assert largest < MAX_RSS_BYTES
    ordinary = process.http.post(INGEST, json=meter(timestamp=now()))
    assert ordinary.status_code == 202
