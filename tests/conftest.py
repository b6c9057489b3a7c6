"""The real services every test runs against.

In this order: the ones the environment names, testcontainers where a Docker engine answers, the
embedded ones. No test is skipped because one is missing.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count

import psycopg
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from devstack.stack import Stack
from sql.migrate import migrate
from tests.connections import connect
from tests.containers import docker_answers, start_containers

PARTITIONS = 6
_numbers = count(1)


@pytest.fixture(scope="session")
def services() -> Iterator[dict[str, str]]:
    """The environment that names a running Kafka and a running PostgreSQL."""
    with ExitStack() as stack:
        if "KAFKA_BOOTSTRAP_SERVERS" in os.environ and "DB_HOST" in os.environ:
            yield {
                name: value
                for name, value in os.environ.items()
                if name.startswith(("KAFKA_", "DB_"))
            }
        elif docker_answers():
            yield start_containers(stack)
        else:
            yield stack.enter_context(Stack()).environment


@pytest.fixture(scope="module")
def environment(services: dict[str, str]) -> dict[str, str]:
    """The services with a migrated database and topics of this module's own."""
    return fresh_environment(services)


@pytest.fixture
def own_environment(services: dict[str, str]) -> dict[str, str]:
    """The services with a migrated database and topics of this test's own."""
    return fresh_environment(services)


def fresh_environment(services: dict[str, str], *, replicas: int = 1) -> dict[str, str]:
    """A new database, migrated, and two new topics on these services."""
    number = f"{os.getpid()}_{next(_numbers)}"
    environment = {
        **services,
        "DB_DATABASE": f"test_{number}",
        "KAFKA_METER_TOPIC": f"meter-{number}",
        "KAFKA_VEHICLE_TOPIC": f"vehicle-{number}",
        "KAFKA_GROUP_ID": f"group-{number}",
        "METRICS_PORT": "0",
    }
    with psycopg.connect(
        host=services["DB_HOST"],
        port=services["DB_PORT"],
        user=services.get("DB_USERNAME", "postgres"),
        password=services.get("DB_PASSWORD", "postgres"),
        dbname="postgres",
        autocommit=True,
    ) as connection:
        connection.execute(f"CREATE DATABASE {environment['DB_DATABASE']}")
    with connect(environment) as connection:
        migrate(connection)
    topics = [environment["KAFKA_METER_TOPIC"], environment["KAFKA_VEHICLE_TOPIC"]]
    asyncio.run(create_topics(environment, topics, replicas=replicas))
    return environment


async def create_topics(
    environment: dict[str, str], topics: list[str], *, replicas: int = 1
) -> None:
    """Create topics the way the README asks for."""
    admin = AIOKafkaAdminClient(bootstrap_servers=environment["KAFKA_BOOTSTRAP_SERVERS"])
    await admin.start()
    try:
        configs = {"message.timestamp.type": "LogAppendTime"}
        await admin.create_topics(
            [NewTopic(topic, PARTITIONS, replicas, topic_configs=configs) for topic in topics]
        )
    finally:
        await admin.close()


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Services of this module's own, for tests that stop, kill or freeze them."""
    with Stack() as stack:
        yield stack
