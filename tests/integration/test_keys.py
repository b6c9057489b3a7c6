"""Keys in a running API: made, ended and rotated meanwhile, and while PostgreSQL is away."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import httpx
import pytest

from devstack.ports import Ports
from devstack.stack import Stack
from sql.migrate import migrate
from tests.answers import check_problem
from tests.api_process import ApiProcess
from tests.conftest import empty_database, fresh_environment
from tests.connections import connect, waiting_for_locks
from tests.kafka import kafka_records
from tests.keys import NOBODYS, Key, bearer, keys, make_key, revoke
from tests.readings import meter, vehicle
from tests.workers import command, wait_until

INGEST = "/v1/telemetry/ingest"
METERS = "/v1/devices/meters"
COUNTS_WITHIN_S = 5.0
EVERYWHERE = {"APP_HOST": "0.0.0.0"}


@pytest.fixture(scope="module")
def gateway(environment: dict[str, str]) -> Key:
    return make_key(environment, "gateway")


@pytest.fixture(scope="module")
def process(environment: dict[str, str], gateway: Key) -> Iterator[ApiProcess]:
    with ApiProcess({**environment, "APP_AUTH": "keys"}) as running:
        yield running


def ingested(http: httpx.Client, key: Key | str, device: str = "MTR-001") -> int:
    return http.post(INGEST, json=meter(device), headers=bearer(key)).status_code


def test_a_key_works_as_soon_as_it_is_made(
    process: ApiProcess, environment: dict[str, str]
) -> None:
    for _ in range(3):
        assert ingested(process.http, make_key(environment, "gateway")) == 202


def test_a_revocation_counts_in_every_process_while_requests_run(
    environment: dict[str, str], process: ApiProcess, gateway: Key
) -> None:
    """Also in one whose only connection of the pool is waited for."""
    key, operator = make_key(environment, "gateway"), make_key(environment, "operator")
    small = {**environment, "APP_AUTH": "keys", "DB_POOL_SIZE": "1"}
    ended = Event()

    def send(api: ApiProcess) -> set[int]:
        found = set()
        while not ended.is_set():
            found.add(ingested(api.http, key))
        return found

    with ApiProcess(small) as other, connect(environment) as connection:
        head = bearer(operator)
        other.http.post(METERS, json={"meterId": "HELD"}, headers=head)
        with ThreadPoolExecutor(3) as at_once, connection.transaction():
            connection.execute("SELECT FROM meters WHERE meter_id = 'HELD' FOR UPDATE")
            change = {"location": "here"}
            at_once.submit(other.http.patch, f"{METERS}/HELD", json=change, headers=head)
            wait_until(lambda: waiting_for_locks(environment) == 1, "the pool is used up")
            senders = [at_once.submit(send, api) for api in (process, other)]
            wait_until(lambda: all(s.running() for s in senders), "both send")
            revoke(environment, key)
            for api in (process, other):
                wait_until(
                    lambda api=api: ingested(api.http, key) == 401,  # type: ignore[misc]
                    "it is refused",
                    patience_s=COUNTS_WITHIN_S,
                )
            ended.set()
            connection.execute("ROLLBACK")
        assert [sender.result() for sender in senders] == [{202, 401}, {202, 401}]
    assert ingested(process.http, gateway) == 202


def test_a_rotated_key_has_a_grace(process: ApiProcess, environment: dict[str, str]) -> None:
    old = make_key(environment, "gateway")
    assert ingested(process.http, old) == 202
    new = keys(environment, "rotate", old["id"], "--grace", "1h")
    assert new["id"] == old["id"] and new["key"] != old["key"]
    assert [ingested(process.http, key) for key in (new, old)] == [202, 202]
    with connect(environment) as connection:
        past = "UPDATE api_keys SET previous_expires_at = now() WHERE id = %s"
        connection.execute(past, (old["id"],))
    wait_until(lambda: ingested(process.http, old) == 401, "the grace is over")
    newest = keys(environment, "rotate", old["id"], "--grace", "0")
    wait_until(lambda: ingested(process.http, new) == 401, "there was no grace")
    assert ingested(process.http, newest) == 202


def scraped(http: httpx.Client, key: dict[str, str]) -> str:
    return http.get("/metrics", headers=bearer(key)).text


def test_a_key_expires_by_itself(process: ApiProcess, environment: dict[str, str]) -> None:
    key = make_key(environment, "gateway", "--expires", "1h")
    scraper = make_key(environment, "metrics")
    assert ingested(process.http, key) == 202
    end = f'energy_api_key_expiry_timestamp_seconds{{id="{key["id"]}",role="gateway"}} '
    assert end in scraped(process.http, scraper)
    with connect(environment) as connection:
        soon = "UPDATE api_keys SET expires_at = clock_timestamp() + '1 second' WHERE id = %s"
        connection.execute(soon, (key["id"],))
    wait_until(lambda: ingested(process.http, key) == 401, "it has expired")
    assert end not in scraped(process.http, scraper)


def test_a_gateway_speaks_for_its_own_devices(
    process: ApiProcess, environment: dict[str, str]
) -> None:
    key = bearer(make_key(environment, "gateway", "--devices", "OWN-1,OWN-3"))
    http = process.http
    assert http.post(INGEST, json=meter("OWN-1"), headers=key).status_code == 202
    for record, field in ((meter("OWN-2"), "meterId"), (vehicle("VH-1"), "vehicleId")):
        body = check_problem(http.post(INGEST, json=record, headers=key), 400)
        (entry,) = body["details"]
        assert entry["field"] == f"payload.{field}"
        assert entry["message"] == "forbidden for this key" and entry["reason"] == "invalid"
    sent = [meter("OWN-2"), meter("OWN-33"), vehicle("VH-1"), meter("OWN-1x")]
    answer = http.post(f"{INGEST}/batch", json={"records": sent}, headers=key)
    assert answer.status_code == 202
    told = [(e["index"], e["reason"], e["message"]) for e in answer.json()["errors"]]
    assert told == [(i, "invalid", "forbidden for this key") for i in (0, 2)]
    others = {"records": [meter("OWN-2"), meter("OWN-2")]}
    body = check_problem(http.post(f"{INGEST}/batch", json=others, headers=key), 400)
    assert [entry["field"] for entry in body["details"]] == [
        f"records[{i}].payload.meterId" for i in (0, 1)
    ]
    values = b"".join(record.value for record in kafka_records(environment, "KAFKA_METER_TOPIC"))
    assert b"OWN-1" in values and b"OWN-33" in values and b"OWN-1x" in values
    assert b"OWN-2" not in values
    assert kafka_records(environment, "KAFKA_VEHICLE_TOPIC") == []


def test_gateways_go_on_while_postgres_is_away(stack: Stack) -> None:
    environment = {**fresh_environment(stack.environment), "APP_AUTH": "keys"}
    gateway, analyst = make_key(environment, "gateway"), make_key(environment, "analyst")
    with ApiProcess(environment) as running:
        assert ingested(running.http, gateway) == 202
        stack.service("postgres").kill()
        for _ in range(20):
            assert ingested(running.http, gateway) == 202
        assert ingested(running.http, NOBODYS) == 401
        assert ingested(running.http, analyst) == 403
        with ApiProcess(environment, ready=False) as cold:
            for headers in (bearer(gateway), {}, {"Cookie": "eie_session=x"}):
                answer = cold.http.post(INGEST, json=meter(), headers=headers)
                assert check_problem(answer, 503) and int(answer.headers["Retry-After"]) <= 5
            assert check_problem(cold.http.get("/health/ready"), 503)["message"] == "not ready"
            assert cold.http.get("/health/live").status_code == 200
            stack.service("postgres").start()
            wait_until(lambda: ingested(cold.http, gateway) == 202, "the keys are read")
            assert cold.http.post(INGEST, json=meter()).status_code == 401
        assert ingested(running.http, gateway) == 202


def test_losing_every_key_is_said_once(own_environment: dict[str, str]) -> None:
    key = make_key(own_environment, "gateway")
    with ApiProcess({**own_environment, "APP_AUTH": "keys"}) as running:
        revoke(own_environment, key)
        running.says("degraded: live keys: the database has no live key")
        again = make_key(own_environment, "gateway")
        assert ingested(running.http, again) == 202
        running.says("live keys: fine")
        assert running.log.count("degraded: live keys") == 1


@pytest.fixture
def keyless(own_environment: dict[str, str]) -> dict[str, str]:
    """A key there is, but it has ended."""
    revoke(own_environment, make_key(own_environment, "operator"))
    return own_environment


@pytest.mark.parametrize("more", [EVERYWHERE, {"APP_AUTH": "keys"}])
def test_without_a_live_key_it_ends_and_says_how_to_make_one(
    keyless: dict[str, str], more: dict[str, str]
) -> None:
    ports = Ports()
    done = command({**keyless, **more, "APP_PORT": str(ports.take())}, "api")
    ports.close()
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ") and next(iter(more)) in last
    assert "`python -m api keys create --name NAME --role operator`" in last


def test_it_ends_also_when_the_database_comes_later(services: dict[str, str]) -> None:
    environment = {**services, **empty_database(services), "APP_AUTH": "keys"}
    with ApiProcess(environment, ready=False) as waiting:
        waiting.says("not ready: PostgreSQL", "python -m sql migrate")
        with connect(environment) as connection:
            migrate(connection)
        assert waiting.process.wait(60) == 2
        assert "no live key" in waiting.log


def test_another_address_demands_keys_and_off_is_warned_of(
    environment: dict[str, str], gateway: Key
) -> None:
    with ApiProcess({**environment, **EVERYWHERE}) as open_to_others:
        assert open_to_others.http.get(METERS).status_code == 401
        assert ingested(open_to_others.http, gateway) == 202
    with ApiProcess({**environment, **EVERYWHERE, "APP_AUTH": "off"}) as off:
        assert off.http.get(METERS).status_code == 200
        health = off.http.get("/health").json()
        (warning,) = health["warnings"]
        assert "APP_AUTH=off" in warning and health["status"] == "healthy"
        assert any("WARNING" in line and warning in line for line in off.log.splitlines())


def test_on_loopback_nobody_needs_a_key_but_a_wrong_one_is_none(
    environment: dict[str, str], gateway: Key
) -> None:
    with ApiProcess(environment) as running:
        assert "no keys are demanded: APP_HOST=127.0.0.1 is this machine alone" in running.log
        assert running.http.get("/health").json()["warnings"] == []
        assert running.http.get(METERS).status_code == 200
        assert running.http.get(METERS, headers={"Cookie": "eie_session=x"}).status_code == 200
        assert running.http.get(METERS, headers=bearer(NOBODYS)).status_code == 401
        assert running.http.get(METERS, headers=bearer(gateway)).status_code == 403
        assert ingested(running.http, gateway) == 202
        assert running.http.post(INGEST, json=meter()).status_code == 202
