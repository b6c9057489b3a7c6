"""One key cannot take what the others need, and wrong ones are counted and slowed."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.api_process import ApiProcess
from tests.connections import connect
from tests.keys import NOBODYS, Key, bearer, client_from, make_key
from tests.readings import meter
from tests.workers import wait_until

INGEST = "/v1/telemetry/ingest"
METERS = "/v1/devices/meters"
MANY = 60
"""More requests at a time than one analyst may have under way and waiting."""


@pytest.fixture(scope="module")
def made(environment: dict[str, str]) -> dict[str, Key]:
    return {role: make_key(environment, role) for role in ("gateway", "analyst", "operator")}


@pytest.fixture(scope="module")
def process(environment: dict[str, str], made: dict[str, Key]) -> Iterator[ApiProcess]:
    with ApiProcess({**environment, "APP_AUTH": "keys"}) as running:
        yield running


def counted(http: httpx.Client, key: Key, name: str) -> dict[str, float]:
    """A counter's values by its labels' values."""
    text = http.get("/metrics", headers=bearer(key)).text
    return {
        " ".join(sample.labels[label] for label in sorted(sample.labels)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def test_one_analysts_script_starves_nobody(
    process: ApiProcess, made: dict[str, Key], environment: dict[str, str]
) -> None:
    """Its requests hang on a lock: gateways go on, and an operator still gets a connection."""
    http = process.http
    operator, gateway = bearer(made["operator"]), bearer(made["gateway"])

    def ask() -> httpx.Response:
        with httpx.Client(base_url=http.base_url, timeout=30) as own:
            return own.get(METERS, headers=bearer(made["analyst"]))

    with connect(environment) as connection, ThreadPoolExecutor(MANY) as at_once:
        with connection.transaction():
            connection.execute("LOCK TABLE meters IN ACCESS EXCLUSIVE MODE")
            asked = [at_once.submit(ask) for _ in range(MANY)]
            wait_until(lambda: sum(one.done() for one in asked) >= MANY // 2, "most are refused")
            for _ in range(20):
                assert http.post(INGEST, json=meter(), headers=gateway).status_code == 202
            assert http.get("/v1/sessions", headers=operator).status_code == 200
        answers = [one.result() for one in asked]
    statuses = Counter(answer.status_code for answer in answers)
    # Those that had a place give up on the lock with 503, or get their answer.
    assert statuses[429] >= MANY // 2 and set(statuses) <= {200, 429, 503}, statuses
    waits = {answer.headers["Retry-After"] for answer in answers if answer.status_code == 429}
    assert waits <= set("12345")
    found = counted(http, made["operator"], "energy_api_limited_requests_total")
    assert found["in_flight analyst"] == statuses[429]
    assert found["in_flight gateway"] == found["rate analyst"] == 0


def test_an_ordinary_client_is_not_slowed(process: ApiProcess, made: dict[str, Key]) -> None:
    for _ in range(400):
        assert process.http.get(METERS, headers=bearer(made["analyst"])).status_code == 200


def test_a_streamed_answer_counts_until_it_is_sent(
    environment: dict[str, str], made: dict[str, Key]
) -> None:
    """Clients that do not read their answers hold their places, and only their own key's."""
    with connect(environment) as connection:
        connection.execute(
            'INSERT INTO rejected_records (group_id, topic, partition, "offset", record_ms,'
            " reason, detail, raw) VALUES ('g', 't', 0, 0, 0, 'malformed', 'large', %s)",
            (b"x" * 30_000_000,),
        )
        row = connection.execute("SELECT max(id) FROM rejected_records").fetchone()
        rejected_id = row[0] if row else None
    path = f"/v1/telemetry/rejected/{rejected_id}/raw"
    key = bearer(made["analyst"])
    with ApiProcess({**environment, "APP_AUTH": "keys"}) as running:
        clients = [httpx.Client(base_url=running.http.base_url) for _ in range(8)]
        streams = [
            client.send(client.build_request("GET", path, headers=key), stream=True)
            for client in clients
        ]
        assert {stream.status_code for stream in streams} == {200}
        assert running.http.get(METERS, headers=key).status_code == 429
        assert running.http.get(METERS, headers=bearer(made["operator"])).status_code == 200
        for stream in streams:
            stream.close()
        wait_until(lambda: running.http.get(METERS, headers=key).status_code == 200, "free again")
        for client in clients:
            client.close()


def test_wrong_keys_are_counted_and_slowed_but_good_ones_are_not(
    process: ApiProcess, made: dict[str, Key]
) -> None:
    operator = made["operator"]
    name = "energy_api_refused_keys_total"
    before = counted(process.http, operator, name)
    with client_from("127.0.77.1", process.http) as http:
        for number in range(30):
            wrong = bearer(NOBODYS) if number % 2 else {"Authorization": "Basic x"}
            assert http.get(METERS, headers=wrong).status_code == 401
            assert http.get(METERS, headers=bearer(operator)).status_code == 200
        for _ in range(30):
            assert http.get(METERS).status_code == 401  # nobody has tried a key
    after = counted(process.http, operator, name)
    assert {reason: after[reason] - before[reason] for reason in after} == {
        **dict.fromkeys(after, 0),
        "unknown": 15,
        "malformed": 15,
        "missing": 30,
    }
    assert "127.0.77.1" not in process.http.get("/metrics", headers=bearer(operator)).text


def test_many_at_once_from_one_address_are_told_to_come_later(
    process: ApiProcess, made: dict[str, Key]
) -> None:
    def guess(_: int) -> httpx.Response:
        with client_from("127.0.77.2", process.http) as http:
            return http.get(METERS, headers={"Authorization": "Bearer eie_"})

    with ThreadPoolExecutor(MANY) as at_once:
        answers = list(at_once.map(guess, range(MANY)))
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) == {401, 429} and statuses[401] >= 20
    assert {a.headers["Retry-After"] for a in answers if a.status_code == 429} == {"1"}
    with client_from("127.0.77.2", process.http) as http:
        assert http.get(METERS, headers=bearer(made["analyst"])).status_code == 200
