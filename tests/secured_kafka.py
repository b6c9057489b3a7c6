"""A broker that asks who its clients are and what they may do, and the rights of one user on it.

Its plain listener is the administrator's; clients with names come in by the other one.
"""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from enum import IntEnum
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest

from devstack.jar_cache import class_path
from devstack.kafka import Broker, Cluster, new_cluster_id
from devstack.ports import LOOPBACK, Ports

AUTHORIZER = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
USER, PASSWORD, MECHANISM = "ingest", "s3cret", "PLAIN"
ANY_HOST, ANY, LITERAL, ALLOW = "*", 1, 3, 3


JAAS = "listener.name.clients.plain.sasl.jaas.config"


class Resource(IntEnum):
    """What rights are given on, by Kafka's numbers."""

    TOPIC = 2
    GROUP = 3


class Operation(IntEnum):
    """What is allowed, by Kafka's numbers."""

    READ = 3
    WRITE = 4
    DESCRIBE = 8


Right = tuple[Resource, str, Operation]


class SecuredBroker(Broker):
    """A single broker with passwords and access control lists."""

    def __init__(self, directory: Path, ports: Ports) -> None:
        cluster = Cluster(new_cluster_id(), [ports.take()], [ports.take()])
        super().__init__(1, cluster, directory, class_path(), lambda: True)
        self._clients_port = ports.take()
        self._password = PASSWORD

    def settings(self) -> dict[str, str]:
        """Those of a single broker, and a listener for clients that have names."""
        usual = super().settings()
        named = f"CLIENTS://{LOOPBACK}:{self._clients_port}"
        kinds = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,CLIENTS:SASL_PLAINTEXT"
        return {
            **usual,
            "listeners": f"{usual['listeners']},{named}",
            "advertised.listeners": f"{usual['advertised.listeners']},{named}",
            "listener.security.protocol.map": kinds,
            "inter.broker.listener.name": "PLAINTEXT",
            "sasl.enabled.mechanisms": MECHANISM,
            JAAS: _users(self._password),
            "authorizer.class.name": AUTHORIZER,
            "super.users": "User:ANONYMOUS",
        }

    @property
    def administrator(self) -> dict[str, str]:
        """The variables by which the administrator reaches the broker."""
        return {"KAFKA_BOOTSTRAP_SERVERS": f"{LOOPBACK}:{self.port}"}

    @property
    def client(self) -> dict[str, str]:
        """The variables by which the user reaches it."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": f"{LOOPBACK}:{self._clients_port}",
            "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "KAFKA_ALLOW_PLAINTEXT": "true",
            "KAFKA_SASL_MECHANISM": MECHANISM,
            "KAFKA_SASL_USERNAME": USER,
            "KAFKA_SASL_PASSWORD": PASSWORD,
        }

    def restart(self, password: str = PASSWORD) -> None:
        """Begin again with this password for the user: the broker reads it only then."""
        self.kill()
        self._password = password
        self.start()

    def allow(self, *rights: Right) -> None:
        """Give the user rights."""

        async def send(admin: AIOKafkaAdminClient) -> None:
            for kind, name, operation in rights:
                answer = await admin._send_request(
                    CreateAclsRequest(
                        kind, name, LITERAL, f"User:{USER}", ANY_HOST, operation, ALLOW
                    )
                )
                assert all(not code for code, _ in answer.creation_responses), answer

        self._administer(send)

    def forbid(self, *rights: Right) -> None:
        """Take rights from the user."""

        async def send(admin: AIOKafkaAdminClient) -> None:
            for kind, name, operation in rights:
                answer = await admin._send_request(
                    DeleteAclsRequest(
                        kind, name, LITERAL, f"User:{USER}", ANY_HOST, operation, ALLOW
                    )
                )
                assert all(not code for code, *_ in answer.filter_responses), answer

        self._administer(send)

    def forbid_everything(self) -> None:
        """Take all rights from the user."""

        async def send(admin: AIOKafkaAdminClient) -> None:
            answer = await admin._send_request(
                DeleteAclsRequest(ANY, None, ANY, f"User:{USER}", None, ANY, ANY)
            )
            assert all(not code for code, *_ in answer.filter_responses), answer

        self._administer(send)

    def _administer(self, send: Callable[[AIOKafkaAdminClient], Awaitable[None]]) -> None:
        async def connected() -> None:
            admin = AIOKafkaAdminClient(bootstrap_servers=f"{LOOPBACK}:{self.port}")
            await admin.start()
            try:
                await send(admin)
            finally:
                await admin.close()

        asyncio.run(connected())


def _users(password: str) -> str:
    """The only user and its password, as the broker's settings have them."""
    module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    return f'{module} required user_{USER}="{password}";'


@contextmanager
def secured_kafka() -> Iterator[SecuredBroker]:
    """A running broker, gone at the end."""
    with ExitStack() as undo:
        directory = undo.enter_context(tempfile.TemporaryDirectory(prefix="secured-kafka-"))
        ports = Ports()
        undo.callback(ports.close)
        broker = SecuredBroker(Path(directory), ports)
        with broker.formatted():
            pass
        undo.callback(lambda: broker.kill() if broker.running else None)
        broker.start()
        yield broker
