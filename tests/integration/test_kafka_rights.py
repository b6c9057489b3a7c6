"""Whatever Kafka does not let a worker or the API do is said, and heals when it lets them."""

from collections.abc import Iterator

import pytest

from tests.api_process import ApiProcess
from tests.conftest import fresh_environment
from tests.kafka import send
from tests.probes import reasons, said
from tests.readings import meter_value
from tests.secured_kafka import Operation, Resource, Right, SecuredBroker, secured_kafka
from tests.workers import WorkerProcess, counted, wait_until

NOTHING_MISSING: dict[str, str] = {}


@pytest.fixture(scope="module")
def broker() -> Iterator[SecuredBroker]:
    """A broker that lets in a user who has no rights yet."""
    with secured_kafka() as broker:
        yield broker


def environments(
    services: dict[str, str], broker: SecuredBroker
) -> tuple[dict[str, str], dict[str, str]]:
    """A new database and topics as the administrator reaches them, and as the user does.

    The user has no rights yet.
    """
    broker.forbid_everything()
    administrator = fresh_environment({**services, **broker.administrator})
    return administrator, {**administrator, **broker.client()}


def on_topics(environment: dict[str, str], operation: Operation) -> list[Right]:
    topics = (environment["KAFKA_METER_TOPIC"], environment["KAFKA_VEHICLE_TOPIC"])
    return [Right(Resource.TOPIC, topic, operation) for topic in topics]


def on_group(environment: dict[str, str]) -> Right:
    return Right(Resource.GROUP, environment["KAFKA_GROUP_ID"], Operation.READ)


def test_a_worker_that_may_not_read_as_its_group_says_so_and_begins_once_it_may(
    services: dict[str, str], broker: SecuredBroker
) -> None:
    administrator, user = environments(services, broker)
    send(administrator, meter_value("A"))
    broker.allow(*on_topics(user, Operation.READ))
    with WorkerProcess(user) as worker:
        wait_until(lambda: "GroupAuthorizationFailed" in reasons(worker).get("group", ""), "said")
        broker.allow(on_group(user))
        wait_until(lambda: counted(user)["stored"] == 1, "it reads")
        wait_until(lambda: reasons(worker) == NOTHING_MISSING, "ready")
        assert said(worker, "not ready: group: ") == 1

        broker.forbid(on_group(user))
        wait_until(lambda: "GroupAuthorizationFailed" in reasons(worker).get("group", ""), "said")
        send(administrator, meter_value("B"))
        broker.allow(on_group(user))
        wait_until(lambda: counted(user)["stored"] == 2, "it reads again")
        wait_until(lambda: reasons(worker) == NOTHING_MISSING, "ready")
        assert worker.terminate() == 0


def test_a_worker_that_may_not_read_a_topic_says_so_and_reads_the_other(
    services: dict[str, str], broker: SecuredBroker
) -> None:
    administrator, user = environments(services, broker)
    meters, vehicles = on_topics(user, Operation.READ)
    describe_meters, _ = on_topics(user, Operation.DESCRIBE)
    broker.allow(on_group(user), vehicles)
    send(administrator, meter_value("A"))
    with WorkerProcess(user) as worker:
        wait_until(lambda: user["KAFKA_METER_TOPIC"] in reasons(worker).get("kafka", ""), "said")
        broker.allow(describe_meters)
        name = f"{user['KAFKA_METER_TOPIC']}-0"
        wait_until(lambda: "TopicAuthorizationFailed" in reasons(worker).get(name, ""), "said")
        broker.allow(meters)
        wait_until(lambda: counted(user)["stored"] == 1, "it reads")
        wait_until(lambda: reasons(worker) == NOTHING_MISSING, "ready")

        broker.forbid(meters, describe_meters)
        wait_until(lambda: user["KAFKA_METER_TOPIC"] in str(reasons(worker)), "said again")
        send(administrator, meter_value("B"))
        broker.allow(meters)
        wait_until(lambda: counted(user)["stored"] == 2, "it reads again")
        wait_until(lambda: reasons(worker) == NOTHING_MISSING, "ready again")
        assert worker.terminate() == 0


def test_a_wrong_password_is_named_and_heals(
    services: dict[str, str], broker: SecuredBroker
) -> None:
    administrator, user = environments(services, broker)
    broker.allow(on_group(user), *on_topics(user, Operation.READ))
    broker.allow(*on_topics(user, Operation.WRITE))
    send(administrator, meter_value("A"))
    with WorkerProcess(user) as worker, ApiProcess(user) as api:
        wait_until(lambda: counted(user)["stored"] == 1, "it reads")
        broker.set_password(password="another")
        broker.restart()
        with WorkerProcess(user) as late:
            wait_until(lambda: refused(reasons(worker).get("kafka", "")), "said")
            wait_until(lambda: refused(reasons(late).get("kafka", "")), "said at the start")
        wait_until(lambda: refused(kafka_check(api)), "the API says so")
        broker.set_password()
        send(administrator, meter_value("B"))
        wait_until(lambda: counted(user)["stored"] == 2, "it reads again")
        wait_until(lambda: reasons(worker) == NOTHING_MISSING, "ready")
        wait_until(lambda: not kafka_check(api), "the API is fine")
        assert worker.terminate() == 0


def refused(text: str) -> bool:
    return "the user or the password is wrong (KAFKA_SASL_USERNAME" in text


def kafka_check(api: ApiProcess) -> str:
    """What /health says of Kafka; nothing when all is well."""
    return api.http.get("/health").json()["checks"]["kafka"].get("message") or ""


def test_an_api_that_may_not_write_says_so_and_delivers_once_it_may(
    services: dict[str, str], broker: SecuredBroker
) -> None:
    _, user = environments(services, broker)
    payload = {
        "meterId": "A",
        "kwhConsumedAc": 1.5,
        "voltage": 230.5,
        "timestamp": "2026-11-01T12:00:00Z",
    }
    body = {"streamType": "meter", "payload": payload}
    broker.allow(*on_topics(user, Operation.DESCRIBE))
    with ApiProcess(user, ready=False) as api:
        assert api.http.post("/v1/telemetry/ingest", json=body).status_code == 503
        wait_until(lambda: "AuthorizationFailed" in kafka_check(api), "said")
        _, vehicles = on_topics(user, Operation.WRITE)
        broker.allow(vehicles)
        wait_until(lambda: not kafka_check(api), "it may write something")
        assert api.http.post("/v1/telemetry/ingest", json=body).status_code == 503
        wait_until(lambda: "TopicAuthorizationFailed" in kafka_check(api), "the topic is named")
        assert user["KAFKA_METER_TOPIC"] in kafka_check(api)
        broker.allow(*on_topics(user, Operation.WRITE))
        wait_until(
            lambda: api.http.post("/v1/telemetry/ingest", json=body).status_code == 202, "taken"
        )
        wait_until(lambda: not kafka_check(api), "the API is fine")
