"""TLS, passwords and certificates between us and the brokers: who gets in, who is told why not."""

import asyncio
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import NewTopic
from aiokafka.errors import KafkaError, for_code

from brokers.connect import connected_admin
from brokers.refusals import why_not_connected
from devstack.authority import Authority, principal
from devstack.kafka_users import HASHES
from tests.api_process import ApiProcess
from tests.conftest import fresh_environment
from tests.kafka import options_of, send
from tests.probes import reasons
from tests.readings import meter, meter_value, vehicle
from tests.secured_kafka import (
    PASSWORD,
    PLAIN,
    SecuredBroker,
    documented_rights,
    secured_kafka,
)
from tests.settings import settings_of
from tests.workers import WorkerProcess, books, command, counted, wait_until

CERTIFICATE = ("KAFKA_SSL_CERTFILE", "KAFKA_SSL_KEYFILE")
BATCH = "/v1/telemetry/ingest/batch"
Environment = dict[str, str]


@pytest.fixture(scope="module")
def broker() -> Iterator[SecuredBroker]:
    """A broker that only lets in whom it knows."""
    with secured_kafka() as broker:
        for user in ("worker", "api", "gateway"):
            broker.set_password(user)
        yield broker


@pytest.fixture
def environment(services: Environment, broker: SecuredBroker) -> Environment:
    """A new database and topics, as the administrator reaches them."""
    broker.forbid_everything()
    return fresh_environment({**services, **broker.administrator})


@pytest.fixture
def strangers(tmp_path: Path) -> Authority:
    """An authority that the broker does not know."""
    return Authority(tmp_path / "strangers")


def kafka_check(api: ApiProcess) -> str:
    """What /health says of Kafka; nothing when all is well."""
    return api.http.get("/health").json()["checks"]["kafka"].get("message") or ""


def refusal(environment: Environment) -> str | None:
    return asyncio.run(why_not_connected(options_of(environment)))


@pytest.mark.parametrize("by_certificate", [False, True], ids=["SASL_SSL", "SSL"])
def test_documented_rights_are_enough_for_worker_api_and_gateways(
    environment: Environment, broker: SecuredBroker, by_certificate: bool
) -> None:
    users = {}
    for name in ("worker", "api", "gateway"):
        user = principal(name) if by_certificate else f"User:{name}"
        broker.allow(*documented_rights(environment, name), who=user)
        comes_in = broker.certified(name) if by_certificate else broker.client(name)
        users[name] = environment | comes_in
    worker_environment = users["worker"]
    send(users["gateway"], meter_value("A"))
    with WorkerProcess(worker_environment) as worker, ApiProcess(users["api"]) as api:
        sent = api.http.post(BATCH, json={"records": [meter("B"), vehicle("C")]})
        assert sent.status_code == 202, sent.text
        wait_until(lambda: counted(environment)["stored"] == 3, "all are stored")
        wait_until(lambda: reasons(worker) == {}, "the worker is ready")
        health = api.http.get("/health").json()
        assert health["status"] == "healthy", health
        statistics = api.http.get("/v1/telemetry/stats").json()
        assert {topic["lag"] for topic in statistics["topics"]} == {0}, statistics
        assert worker.terminate() == 0
    books(worker_environment)
    topic = environment["KAFKA_METER_TOPIC"]
    for words in (
        ("positions", "list"),
        ("positions", "set", "--topic", topic, "--partition", "all", "--to", "earliest"),
        ("replay", "--topic", topic, "--from", "2026-01-01"),
        ("rejected", "replay", "--all"),
    ):
        done = command(worker_environment, "ingest_worker", *words)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("user", "deed"),
    [("worker", "write"), ("api", "read"), ("gateway", "read"), ("gateway", "create")],
)
def test_nobody_may_do_what_is_not_documented(
    environment: Environment, broker: SecuredBroker, user: str, deed: str
) -> None:
    broker.allow(*documented_rights(environment, user), who=f"User:{user}")
    with pytest.raises(KafkaError, match="Authorization"):
        asyncio.run(attempt(environment | broker.client(user), deed))


async def attempt(environment: Environment, deed: str) -> None:
    """Write a record, read one or create a topic. Raises KafkaError."""
    topic = environment["KAFKA_METER_TOPIC"]
    if deed == "create":
        async with connected_admin(settings_of(environment)) as admin:
            answer = await admin.create_topics([NewTopic(f"{topic}-2", 1, 1)])
            raise for_code(answer.topic_errors[0][1])
    if deed == "write":
        async with AIOKafkaProducer(**options_of(environment)) as producer:
            await producer.send_and_wait(topic, b"{}")
        return
    options = options_of(environment)
    async with AIOKafkaConsumer(topic, **options, auto_offset_reset="earliest") as consumer:
        await consumer.getone()


REFUSED: dict[str, tuple[Environment, str]] = {
    "a wrong password": (
        {"KAFKA_SASL_PASSWORD": "wrong"},
        "the user or the password is wrong (KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD)",
    ),
    "an unknown authority": (
        {"KAFKA_SSL_CAFILE": "{strangers}"},
        "the broker's certificate is of an authority that is not in KAFKA_SSL_CAFILE",
    ),
    "another name": (
        {"KAFKA_BOOTSTRAP_SERVERS": "127.1:{port}"},
        "the broker's certificate is not for 127.1, its name in KAFKA_BOOTSTRAP_SERVERS",
    ),
    "no certificate": (
        dict.fromkeys(CERTIFICATE, ""),
        "the broker asks for a client certificate (KAFKA_SSL_CERTFILE)",
    ),
    "an unknown certificate": (
        dict.fromkeys(CERTIFICATE, "{stranger}"),
        "the broker does not accept our certificate (KAFKA_SSL_CERTFILE): certificate unknown",
    ),
    "plaintext to TLS": (
        {"KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"},
        "the broker speaks TLS there: not KAFKA_SECURITY_PROTOCOL=PLAINTEXT",
    ),
    "TLS to plaintext": (
        {"KAFKA_BOOTSTRAP_SERVERS": "{plain}"},
        "the broker speaks no TLS there: not KAFKA_SECURITY_PROTOCOL=SASL_SSL",
    ),
    "no password": (
        {"KAFKA_SECURITY_PROTOCOL": "SSL"},
        "perhaps it asks for a user and a password, so not KAFKA_SECURITY_PROTOCOL=SSL",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_worker_and_api_say_why_they_are_not_let_in(
    environment: Environment,
    broker: SecuredBroker,
    strangers: Authority,
    plain_kafka: str,
    case: str,
) -> None:
    changed, said = REFUSED[case]
    values = {
        "strangers": strangers.file,
        "stranger": strangers.issue("worker"),
        "port": broker.port,
        "plain": plain_kafka,
    }
    given = {name: text.format_map(values) for name, text in changed.items()}
    refused = environment | broker.client() | given
    with WorkerProcess(refused) as worker, ApiProcess(refused, ready=False) as api:
        wait_until(lambda: said in reasons(worker).get("kafka", ""), f"the worker says {said}")
        wait_until(lambda: said in kafka_check(api), f"the API says {said}")
        worker.says(said)
        api.says(said)


@pytest.fixture(scope="module")
def plain_kafka(request: pytest.FixtureRequest, services: Environment) -> str:
    """The address of a broker that speaks no TLS."""
    if services.get("KAFKA_SECURITY_PROTOCOL", "PLAINTEXT") == "PLAINTEXT":
        return services["KAFKA_BOOTSTRAP_SERVERS"]
    stack: Any = request.getfixturevalue("breakable_stack")
    return str(stack.environment["KAFKA_BOOTSTRAP_SERVERS"])


@pytest.mark.parametrize("mechanism", [PLAIN, *HASHES])
def test_passwords_stay_secret_at_the_lowest_level_of_logs(
    environment: Environment, broker: SecuredBroker, mechanism: str
) -> None:
    for name in ("worker", "api"):
        broker.allow(*documented_rights(environment, name))
    user = environment | broker.client(mechanism=mechanism) | {"LOG_LEVEL": "debug"}
    wrong = user | {"KAFKA_SASL_PASSWORD": "wrong-secret"}
    with ApiProcess(user) as api, WorkerProcess(user) as worker, WorkerProcess(wrong) as refused:
        assert api.http.post(BATCH, json={"records": [meter("A")]}).status_code == 202
        wait_until(lambda: counted(environment)["stored"] == 1, "stored")
        wait_until(lambda: "password is wrong" in reasons(refused).get("kafka", ""), "refused")
        for log in (api.log, worker.log, refused.log):
            assert "ApiVersionRequest" in log, "requests are logged"
            for secret in (PASSWORD, "wrong-secret", "sasl_auth_bytes"):
                assert secret not in log


def test_a_host_by_another_of_its_certificates_names(broker: SecuredBroker) -> None:
    named = {"KAFKA_BOOTSTRAP_SERVERS": f"localhost:{broker.port}"}
    assert refusal(broker.client() | named) is None


def test_renewed_certificates_count_for_new_connections(
    broker: SecuredBroker, strangers: Authority, tmp_path: Path
) -> None:
    authority, file = broker.security.authority, tmp_path / "ours.pem"
    ended = authority.issue("ended", ends=datetime.now(UTC) - timedelta(days=1))
    shutil.copy(ended, file)
    options = options_of(broker.client() | dict.fromkeys(CERTIFICATE, str(file)))

    def told() -> str | None:
        return asyncio.run(why_not_connected(options))

    assert "does not accept our certificate" in (told() or "")
    shutil.copy(authority.issue("renewed"), file)
    assert told() is None
    file.write_text("half of it")
    assert told() is None
    shutil.copy(strangers.issue("stranger"), file)
    assert "does not accept our certificate" in (told() or "")


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"KAFKA_SSL_CAFILE": "nowhere"}, "KAFKA_SSL_CAFILE=nowhere"),
        ({"KAFKA_SSL_CERTFILE": "nowhere"}, "KAFKA_SSL_CERTFILE=nowhere"),
        ({"KAFKA_SSL_KEYFILE": "{other}"}, "KAFKA_SSL_KEYFILE={other}"),
    ],
    ids=["no authority", "no certificate", "another key"],
)
def test_files_that_cannot_be_used_end_worker_and_api_at_the_start(
    broker: SecuredBroker, strangers: Authority, changed: Environment, named: str
) -> None:
    other = strangers.issue("other")
    given = {name: text.format(other=other) for name, text in changed.items()}
    environment = broker.client() | given
    for program in ("ingest_worker", "api"):
        done = command(environment | {"METRICS_PORT": "0", "APP_PORT": "1"}, program)
        assert done.returncode == 2, done.stderr
        (line,) = (line for line in done.stderr.splitlines() if "KAFKA_SSL" in line)
        assert named.format(other=other) in line
        assert "Traceback" not in done.stderr
