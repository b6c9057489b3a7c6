"""The quarantine over HTTP: list, show, replay once, and the books that move with it."""

import base64
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from api.routes.rejected import PIECE_BYTES, SHOWN_BYTES
from devstack.stack import Stack
from tests.answers import check_problem
from tests.api_process import ApiProcess
from tests.conftest import fresh_environment
from tests.connections import connect, waiting_for_locks
from tests.kafka import send
from tests.readings import array_value, iso, meter_value
from tests.workers import WorkerProcess, books, wait_until

REJECTED = "/v1/telemetry/rejected"
NOW = datetime.now(UTC).replace(microsecond=0)
OLD = NOW - timedelta(days=20)
ESCAPES = b'{"meterId":"\xff\x1b[31m\xc3\xbc"}\n'


OLD_READINGS = [meter_value(f"OLD-{number}", OLD) for number in range(6)]


@pytest.fixture(scope="module")
def quarantined(environment: dict[str, str]) -> dict[str, str]:
    """Six too old ones in one array, a conflict, and bytes that are no JSON."""
    send(
        environment,
        array_value(*OLD_READINGS),
        meter_value("B", NOW, 1),
        meter_value("B", NOW, 2),
        ESCAPES,
    )
    with WorkerProcess({**environment, "MAX_READING_AGE_DAYS": "10"}) as worker:
        wait_until(lambda: books(environment)["total"]["read"] == 9, "all were read")
        assert worker.terminate() == 0
    return environment


def listed(api: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    answer = api.get(REJECTED, params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


def id_of(api: httpx.Client, **query: Any) -> int:
    return int(listed(api, **query)[0]["id"])


def test_filters_and_pages(api: httpx.Client, quarantined: dict[str, str]) -> None:
    everything = listed(api)
    ids = [one["id"] for one in everything]
    assert ids == sorted(ids, reverse=True) and len(ids) == 8
    topic = quarantined["KAFKA_METER_TOPIC"]
    old = [one for one in everything if one["reason"] == "too_old"]
    assert [one["recordIndex"] for one in old] == [5, 4, 3, 2, 1, 0]
    assert old[-1] | {"id": 0, "partition": 0, "offset": 0, "detail": "", "rejectedAt": ""} == {
        "id": 0,
        "topic": topic,
        "partition": 0,
        "offset": 0,
        "recordIndex": 0,
        "deviceId": "OLD-0",
        "readingAt": iso(OLD),
        "reason": "too_old",
        "detail": "",
        "rawBytes": len(OLD_READINGS[0]),
        "rejectedAt": "",
        "resolvedAt": None,
        "resolvedBy": None,
        "changed": None,
        "outcome": None,
    }
    assert listed(api, reason="too_old", topic=topic) == old
    assert listed(api, deviceId="OLD-3") == [old[2]]
    assert listed(api, topic="other") == listed(api, reason="in_future") == []
    times = [one["rejectedAt"] for one in everything]
    assert listed(api, startTime=min(times), endTime=iso(NOW + timedelta(days=1))) == everything
    assert listed(api, endTime=min(times)) == []
    paged: list[dict[str, Any]] = []
    path = f"{REJECTED}?reason=too_old&limit=4"
    while path:
        answer = api.get(path)
        paged += answer.json()
        path = answer.links.get("next", {}).get("url", "")
    assert paged == old


def test_raw_bytes_are_shown_safely(api: httpx.Client, quarantined: dict[str, str]) -> None:
    strange = api.get(f"{REJECTED}/{id_of(api, reason='malformed')}").json()
    assert strange["raw"] == '{"meterId":"\\xff\\x1b[31mü"}\\n'
    assert strange["rawEscaped"] is True
    assert base64.b64decode(strange["rawBase64"]) == ESCAPES
    plain = api.get(f"{REJECTED}/{id_of(api, deviceId='OLD-5')}").json()
    assert (plain["raw"], plain["rawEscaped"]) == (OLD_READINGS[5].decode(), False)
    with connect(quarantined) as connection:
        connection.execute("UPDATE rejected_records SET raw = NULL WHERE device_id = 'OLD-5'")
    gone = api.get(f"{REJECTED}/{plain['id']}").json()
    assert [gone[name] for name in ("raw", "rawTruncated", "rawEscaped", "rawBase64")] == [None] * 4
    check_problem(api.get(f"{REJECTED}/{plain['id']}/raw"), 404)
    problem = check_problem(api.post(f"{REJECTED}/{plain['id']}/replay"), 409)
    assert "not kept" in problem["message"]


def test_bytes_that_were_cut_are_told_by_their_true_number_and_not_replayed(
    api: httpx.Client, quarantined: dict[str, str]
) -> None:
    one = id_of(api, deviceId="OLD-4")
    with connect(quarantined) as connection:
        connection.execute(
            "UPDATE rejected_records SET raw = substr(raw, 1, 9), raw_bytes = 600000000"
            " WHERE device_id = 'OLD-4'"
        )
    shown = api.get(f"{REJECTED}/{one}").json()
    assert (shown["rawBytes"], len(shown["raw"])) == (600_000_000, 9)
    problem = check_problem(api.post(f"{REJECTED}/{one}/replay"), 409)
    assert "its bytes were cut; use replay from Kafka" in problem["message"]


def test_replaying_stores_once(api: httpx.Client, quarantined: dict[str, str]) -> None:
    one = id_of(api, deviceId="OLD-0")
    before = books(quarantined)["total"]
    with ThreadPoolExecutor(4) as clients:
        path = f"{REJECTED}/{one}/replay"
        answers = list(clients.map(lambda _: api.post(path), range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4
    bodies = [answer.json() for answer in answers]
    assert bodies[0] == bodies[1] == bodies[2] == bodies[3]
    assert (bodies[0]["outcome"], bodies[0]["record"]["id"]) == ("stored", one)
    assert bodies[0]["record"]["resolvedBy"] == "api@127.0.0.1"
    moved = {"stored": before["stored"] + 1, "rejected": before["rejected"] - 1}
    assert books(quarantined)["total"] == before | moved
    assert listed(api, resolved=True) == [bodies[0]["record"]]
    assert one not in [other["id"] for other in listed(api, resolved=False)]
    with connect(quarantined) as connection:
        stored = "SELECT count(*) FROM meter_telemetry_history WHERE meter_id = 'OLD-0'"
        assert connection.execute(stored).fetchone() == (1,)


def test_one_stored_meanwhile_is_a_duplicate(
    api: httpx.Client, quarantined: dict[str, str]
) -> None:
    one = id_of(api, deviceId="OLD-1")
    send(quarantined, OLD_READINGS[1])
    with WorkerProcess(quarantined) as worker:
        wait_until(lambda: books(quarantined)["total"]["read"] == 10, "it was read")
        worker.terminate()
    before = books(quarantined)["total"]
    answer = api.post(f"{REJECTED}/{one}/replay").json()
    assert answer["outcome"] == answer["record"]["outcome"] == "duplicate"
    moved = {"duplicate": before["duplicate"] + 1, "rejected": before["rejected"] - 1}
    assert books(quarantined)["total"] == before | moved


@pytest.mark.parametrize("reason", ["conflict", "malformed"])
def test_one_still_not_valid_is_409(
    api: httpx.Client, quarantined: dict[str, str], reason: str
) -> None:
    before = books(quarantined)["total"]
    one = id_of(api, reason=reason)
    problem = check_problem(api.post(f"{REJECTED}/{one}/replay"), 409)
    assert [entry["reason"] for entry in problem["details"]] == [reason]
    assert problem["details"][0]["message"] in problem["message"]
    assert books(quarantined)["total"] == before
    assert listed(api, reason=reason)[0]["resolvedAt"] is None


@pytest.mark.parametrize("name", ["999999999", "0", "-1", "1.0", "x", "01", "%00", "9" * 19])
def test_unknown_ids_are_404(api: httpx.Client, name: str) -> None:
    check_problem(api.get(f"{REJECTED}/{name}"), 404)
    check_problem(api.post(f"{REJECTED}/{name}/replay"), 404)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("reason=dull", "reason"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("after=0", "after"),
        ("resolved=maybe", "resolved"),
        ("deviceId=%00", "deviceId"),
        ("startTime=2026-01-02T00:00:00Z&endTime=2026-01-02T00:00:00Z", "query"),
        ("device=x", "device"),
    ],
)
def test_bad_queries_are_400(api: httpx.Client, query: str, field: str) -> None:
    problem = check_problem(api.get(f"{REJECTED}?{query}"), 400)
    assert [entry["field"] for entry in problem["details"]] == [field]


def test_a_replay_does_not_hang_with_postgres(stack: Stack) -> None:
    environment = fresh_environment(stack.environment)
    group, topic = environment["KAFKA_GROUP_ID"], environment["KAFKA_METER_TOPIC"]
    with connect(environment) as connection:
        connection.execute(
            "INSERT INTO ingest_offsets (group_id, topic, partition, next_offset, read, rejected)"
            " VALUES (%s, %s, 0, 1, 1, 1)",
            (group, topic),
        )
        connection.execute(
            'INSERT INTO rejected_records (group_id, topic, partition, "offset", record_ms,'
            " reason, detail, raw) VALUES (%s, %s, 0, 0, 0, 'too_old', '', %s)",
            (group, topic, meter_value("HELD", NOW)),
        )
    postgres = stack.service("postgres")
    with ApiProcess(environment) as process, ThreadPoolExecutor(1) as client:
        path = f"{REJECTED}/%{ord(str(id_of(process.http))):x}/replay"
        with connect(environment) as connection, connection.transaction():
            connection.execute("SELECT FROM ingest_offsets FOR UPDATE")
            held = client.submit(process.http.post, path)
            wait_until(lambda: waiting_for_locks(environment) == 1, "it waits")
            assert_unavailable(held.result())
            assert process.http.get(REJECTED).status_code == 200
            held = client.submit(process.http.post, path)
            wait_until(lambda: waiting_for_locks(environment) == 1, "it waits")
            postgres.freeze()
            try:
                assert_unavailable(held.result())
                assert_unavailable(process.http.post(path))
                assert process.interrupt() == 0  # no thread that waits for ever keeps it
            finally:
                postgres.thaw()
    with ApiProcess(environment) as process:
        assert process.http.post(path).json()["outcome"] == "stored"


def assert_unavailable(answer: httpx.Response) -> None:
    check_problem(answer, 503)
    assert answer.elapsed.total_seconds() < 10


def test_large_bytes_are_cut_and_can_be_had_whole(
    api: httpx.Client, environment: dict[str, str]
) -> None:
    raw = random.Random(1).randbytes(2 * PIECE_BYTES) + b"the end"
    with connect(environment) as connection:
        row = connection.execute(
            'INSERT INTO rejected_records (group_id, topic, partition, "offset", record_ms, reason,'
            " detail, raw) VALUES ('g', 'large', 0, 0, 0, 'malformed', '', %s) RETURNING id",
            (raw,),
        ).fetchone()
    assert row is not None
    path = f"{REJECTED}/{row[0]}"
    shown = api.get(path).json()
    assert (shown["rawBytes"], shown["rawTruncated"]) == (len(raw), True)
    assert base64.b64decode(shown["rawBase64"]) == raw[:SHOWN_BYTES]
    whole = api.get(f"{path}/raw")
    assert whole.content == raw
    assert whole.headers["Content-Type"] == "application/octet-stream"
    assert "attachment" in whole.headers["Content-Disposition"]
    assert api.head(f"{path}/raw").content == b""
    with connect(environment) as connection:
        connection.execute(
            "UPDATE rejected_records SET raw = raw || raw || raw || raw || raw"
            " WHERE topic = 'large'"
        )
    assert "too large" in check_problem(api.post(f"{path}/replay"), 409)["message"]


def test_groups_by_device_and_reason(api: httpx.Client, environment: dict[str, str]) -> None:
    """`replayable` follows the reason, and the clock where the reason is a time."""
    day = timedelta(days=1)
    kept: list[tuple[str | None, str, timedelta | None]] = [
        (None, "malformed", None),
        ("A", "in_future", -day),
        ("A", "in_future", day),
        ("B", "in_future", day),
        ("B", "too_old", -20 * day),
        ("C", "too_old", -2000 * day),
        ("A", "conflict", -day),
        ("A", "conflict", -day),
    ]
    topic = environment["KAFKA_VEHICLE_TOPIC"]
    with connect(environment) as connection:
        connection.execute(
            'INSERT INTO rejected_records (group_id, topic, partition, "offset", record_ms,'
            " device_id, reason, detail) VALUES ('g', 'foreign', 0, 0, 0, 'A', 'invalid', '')"
        )
        connection.cursor().executemany(
            'INSERT INTO rejected_records (group_id, topic, partition, "offset", record_ms,'
            " device_id, reason, detail, reading_at)"
            " VALUES ('g', %s, 0, %s, 0, %s, %s, '', %s)",
            [
                (topic, offset, device_id, reason, age and NOW + age)
                for offset, (device_id, reason, age) in enumerate(kept)
            ],
        )

    def groups(**query: Any) -> list[dict[str, Any]]:
        answer = api.get(f"{REJECTED}/groups", params={"topic": topic} | query)
        assert answer.status_code == 200, answer.text
        return list(answer.json())

    found = groups()
    assert [(one["deviceId"], one["reason"], one["count"], one["replayable"]) for one in found] == [
        ("A", "conflict", 2, False),
        ("C", "too_old", 1, False),
        ("B", "too_old", 1, True),  # its limits are wider by now
        ("B", "in_future", 1, False),
        ("A", "in_future", 2, True),  # the time of one has come
        (None, "malformed", 1, False),
    ]
    newest, _, *_, oldest = of_a = listed(api, topic=topic, deviceId="A")
    assert len(of_a) == 4
    assert found[0]["latestId"] == newest["id"] and found[0]["lastAt"] == newest["rejectedAt"]
    assert found[4]["firstAt"] == oldest["rejectedAt"]
    assert groups(deviceId="B", reason="too_old") == [found[2]]
    assert {one["stream"] for one in found} == {"vehicle"}
    (foreign,) = groups(topic="foreign")
    assert (foreign["stream"], foreign["replayable"]) == (None, False)
    assert groups(resolved=True) == [] and groups(resolved=False, limit=2) == found[:2]
    path: str = f"{REJECTED}/groups?topic={topic}&limit=4"
    pages = []
    while path:
        answer = api.get(path)
        pages.append(answer.json())
        path = answer.links.get("next", {}).get("url", "")
    assert pages == [found[:4], found[4:]]
    with connect(environment) as connection:
        connection.execute(
            "UPDATE rejected_records SET resolved_at = now(), outcome = 'stored'"
            " WHERE topic = %s AND device_id = 'B'",
            (topic,),
        )
    assert [one["replayable"] for one in groups(deviceId="B")] == [False, False]
    check_problem(api.get(f"{REJECTED}/groups?startTime=2026-01-01T00:00:00Z"), 400)
