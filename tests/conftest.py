"""The services, databases and topics of the tests, and how a run spreads over processes."""

import asyncio
import os
import secrets
from collections.abc import Iterator
from itertools import count

import pytest
from aiokafka.admin import NewTopic
from xdist.remote import Producer

from brokers.connect import connected_admin
from devstack.citus import nodes_of
from devstack.stack import Stack
from sql.migrate import migrate
from tests import cluster
from tests.connections import connect
from tests.hostile import CLIENT, HOSTILE_RUN, make_hostile
from tests.rights import OWNER, administrator, copied_by_owner, migrated_by_owner
from tests.services import (
    QUICK_JAVA,
    SharedServices,
    new_stack,
    running_services,
    services_of_the_controller,
)
from tests.settings import settings_of
from tests.spread import GroupScheduling, longest_first

PARTITIONS = 6
_PROCESS = secrets.token_hex(4)
_numbers = count(1)
_migrated: dict[tuple[str, str], str] = {}
"""By a server's address, the database there that this process copies."""


def pytest_addoption(parser: pytest.Parser) -> None:
    spread = "databases are spread over a Citus cluster, as when the environment names one"
    parser.addoption("--citus", action="store_true", default=cluster.is_named(), help=spread)


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("citus") and not cluster.can_be_had():
        raise pytest.UsageError(cluster.HOW)
    os.environ.setdefault("JAVA_TOOL_OPTIONS", QUICK_JAVA)
    if config.getoption("numprocesses", None):
        config.pluginmanager.register(SharedServices())


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> GroupScheduling:
    return GroupScheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("citus"):
        out = [item for item in items if not cluster.can_run(item)]
        items[:] = [item for item in items if cluster.can_run(item)]
        config.hook.pytest_deselected(items=out)
    if services_of_the_controller(config):
        longest_first(items)


@pytest.fixture(scope="session")
def services(pytestconfig: pytest.Config) -> Iterator[dict[str, str]]:
    """The environment that names a running Kafka and a running PostgreSQL."""
    if shared := services_of_the_controller(pytestconfig):
        yield shared
    else:
        with running_services(pytestconfig) as started:
            yield started


@pytest.fixture(scope="module")
def environment(services: dict[str, str]) -> Iterator[dict[str, str]]:
    """The services with a migrated database and topics of this module's own."""
    environment = fresh_environment(services)
    yield environment
    drop_distributed(environment)


@pytest.fixture
def own_environment(services: dict[str, str]) -> Iterator[dict[str, str]]:
    """The services with a migrated database and topics of this test's own."""
    environment = fresh_environment(services)
    yield environment
    drop_distributed(environment)


def fresh_environment(services: dict[str, str], *, replicas: int = 1) -> dict[str, str]:
    """A new database, migrated, and two new topics on these services.

    The software runs on it with least rights. Under hostile defaults it runs as their superuser:
    session_replication_role is not for others to set right.
    """
    if HOSTILE_RUN:
        environment = empty_environment(services, replicas=replicas)
        make_hostile(environment)
        environment |= CLIENT
        with connect(environment) as connection:
            migrate(connection)
        return environment
    if nodes_of(services):  # the database's nodes cannot be copied
        with cluster.one_at_a_time(services):
            return migrated_by_owner(empty_environment(services, replicas=replicas))
    copy = f"TEMPLATE {_migrated_database(services)} OWNER {OWNER}"
    return copied_by_owner(empty_environment(services, replicas=replicas, form=copy))


def _migrated_database(services: dict[str, str]) -> str:
    """The name of a database that is copied for each test, which takes a third of the time."""
    server = services["DB_HOST"], services["DB_PORT"]
    name = _migrated.get(server)
    if name is None or not _exists(services, name):  # the port may be another server's now
        environment = {**services, **empty_database(services)}
        _migrated[server] = name = environment["DB_DATABASE"]
        migrated_by_owner(environment)
    return name


def empty_environment(
    services: dict[str, str], *, replicas: int = 1, form: str = ""
) -> dict[str, str]:
    """The same, but the database is empty; `form` is the rest of CREATE DATABASE."""
    number = f"{_PROCESS}_{next(_numbers)}"
    environment = {
        **services,
        "KAFKA_METER_TOPIC": f"meter-{number}",
        "KAFKA_VEHICLE_TOPIC": f"vehicle-{number}",
        "METRICS_PORT": "0",
        **empty_database(services, form),
    }
    topics = [environment["KAFKA_METER_TOPIC"], environment["KAFKA_VEHICLE_TOPIC"]]
    asyncio.run(create_topics(environment, topics, replicas=replicas))
    return environment


def empty_database(services: dict[str, str], form: str = "") -> dict[str, str]:
    """The variables that name a new database, and a group that reads into it."""
    number = f"{_PROCESS}_{next(_numbers)}"
    create_database(services, f"test_{number}", form)
    return {"DB_DATABASE": f"test_{number}", "KAFKA_GROUP_ID": f"group-{number}"}


def create_database(services: dict[str, str], name: str, form: str = "") -> None:
    """Create the database; `form` is the rest of CREATE DATABASE."""
    if nodes := nodes_of(services):
        nodes.create_database(name, form)
        return
    with connect(services | {"DB_DATABASE": "postgres"}) as connection:
        connection.execute(f"CREATE DATABASE {name} {form}".encode())


def drop_distributed(environment: dict[str, str]) -> None:
    """Drop the database if it is on a cluster: there each one costs every node a process."""
    if nodes := nodes_of(administrator(environment)):
        nodes.drop_database(environment["DB_DATABASE"])


def _exists(services: dict[str, str], name: str) -> bool:
    with connect(services | {"DB_DATABASE": "postgres"}) as connection:
        found = connection.execute("SELECT FROM pg_database WHERE datname = %s", [name])
        return found.rowcount > 0


async def create_topics(
    environment: dict[str, str], topics: list[str], *, replicas: int = 1
) -> None:
    """Create topics the way the README asks for."""
    configs = {"message.timestamp.type": "LogAppendTime"}
    async with connected_admin(settings_of(environment)) as admin:
        await admin.create_topics(
            [NewTopic(topic, PARTITIONS, replicas, topic_configs=configs) for topic in topics]
        )


@pytest.fixture(scope="session")
def breakable_stack(pytestconfig: pytest.Config) -> Iterator[Stack]:
    """Services of this process's own, which its tests use one after the other."""
    with new_stack(pytestconfig) as stack:
        yield stack


@pytest.fixture
def stack(breakable_stack: Stack) -> Iterator[Stack]:
    """Services that the test may stop, kill or freeze; all of them work again after it."""
    yield breakable_stack
    mend(breakable_stack)


def mend(stack: Stack) -> None:
    """Thaw what is frozen and start what is not running."""
    for service in stack.services.values():
        if service.frozen:
            service.thaw()
        if not service.running:
            service.start()
