"""A broker as `devstack up --secure` starts it, and the rights of users on it.

The administrator may do everything. Others come in with a password or by certificate alone, and may
do nothing until they are allowed to.
"""

import asyncio
import re
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest

from brokers.connect import connected_admin
from devstack.jar_cache import class_path
from devstack.kafka import Broker, Cluster, new_cluster_id
from devstack.kafka_security import MECHANISM, Security
from devstack.kafka_users import HASHES, set_password
from devstack.ports import LOOPBACK, Ports
from tests.settings import settings_of
from tests.workers import ROOT

USER, PASSWORD = "ingest", "s3cret-of-ingest"
ANY_HOST, ANY, LITERAL, ALLOW = "*", 1, 3, 3
PLAIN = "PLAIN"
_ACL_COMMAND = re.compile(r"^ +kafka-acls.sh --add (.+)$", re.MULTILINE)


class Resource(IntEnum):
    """What rights are given on, by Kafka's numbers."""

    TOPIC = 2
    GROUP = 3


class Operation(IntEnum):
    """What is allowed, by Kafka's numbers."""

    READ = 3
    WRITE = 4
    DESCRIBE = 8
    DESCRIBECONFIGS = 10


class Right(NamedTuple):
    """One thing that somebody may do."""

    resource: Resource
    name: str
    operation: Operation


class SecuredBroker(Broker):
    """A single broker with an authority of its own; it takes passwords by all mechanisms."""

    def __init__(self, directory: Path, ports: Ports) -> None:
        self.security = Security(directory / "security", [ports.take()])
        cluster = Cluster(new_cluster_id(), [ports.take()], [ports.take()], self.security)
        super().__init__(1, cluster, directory, class_path(), lambda: True)

    def settings(self) -> dict[str, str]:
        """Those of a stack's broker, and PLAIN and the other SCRAM beside its mechanism."""
        jaas = "listener.name.clients.{}.sasl.jaas.config"
        module = "org.apache.kafka.common.security"
        return {
            **super().settings(),
            "sasl.enabled.mechanisms": ",".join([PLAIN, *HASHES]),
            jaas.format("plain"): f"{module}.plain.PlainLoginModule required"
            f' user_{USER}="{PASSWORD}";',
            jaas.format("scram-sha-256"): f"{module}.scram.ScramLoginModule required;",
        }

    @property
    def administrator(self) -> dict[str, str]:
        """The variables by which the administrator comes in: by certificate alone."""
        return self.certified("kafka")

    def certified(self, name: str) -> dict[str, str]:
        """The variables by which somebody comes in with a certificate of that name alone."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": f"{LOOPBACK}:{self.own_port}",
            "KAFKA_SECURITY_PROTOCOL": "SSL",
            **self.security.certificate(self.security.authority.issue(name)),
        }

    def client(self, user: str = USER, mechanism: str = MECHANISM) -> dict[str, str]:
        """The variables by which a user comes in with the password."""
        return {
            **self.security.environment,
            "KAFKA_BOOTSTRAP_SERVERS": f"{LOOPBACK}:{self.port}",
            "KAFKA_SASL_MECHANISM": mechanism,
            "KAFKA_SASL_USERNAME": user,
            "KAFKA_SASL_PASSWORD": PASSWORD,
        }

    def set_password(
        self, user: str = USER, password: str = PASSWORD, mechanism: str = MECHANISM
    ) -> None:
        """Let the user in by this password alone; those who are in stay."""
        set_password(self.own_port, self.security.tls, user, password, mechanism)

    def restart(self) -> None:
        """Begin again: everybody has to come in anew."""
        self.kill()
        self.start()

    def allow(self, *rights: Right, who: str = f"User:{USER}") -> None:
        """Give somebody rights."""
        for right in rights:
            answer = self._administer(
                CreateAclsRequest(
                    right.resource, right.name, LITERAL, who, ANY_HOST, right.operation, ALLOW
                )
            )
            assert all(not code for code, _ in answer.creation_responses), answer

    def forbid(self, *rights: Right, who: str = f"User:{USER}") -> None:
        """Take rights from somebody."""
        for right in rights:
            answer = self._administer(
                DeleteAclsRequest(
                    right.resource, right.name, LITERAL, who, ANY_HOST, right.operation, ALLOW
                )
            )
            assert all(not code for code, *_ in answer.filter_responses), answer

    def forbid_everything(self) -> None:
        """Take all rights from everybody."""
        answer = self._administer(DeleteAclsRequest(ANY, None, ANY, None, None, ANY, ANY))
        assert all(not code for code, *_ in answer.filter_responses), answer

    def _administer(self, request: Any) -> Any:
        async def ask() -> Any:
            async with connected_admin(settings_of(self.administrator)) as admin:
                return await admin._send_request(request)

        return asyncio.run(ask())


def documented_rights(environment: dict[str, str], user: str) -> list[Right]:
    """What docs/operations.md has an administrator give to the user, on these topics and group."""
    rights = []
    for words in _ACL_COMMAND.findall((ROOT / "docs" / "operations.md").read_text()):
        options = re.findall(r"--(\S+) (\S+)", words)
        if ("allow-principal", f"User:{user}") not in options:
            continue
        things = [
            (Resource[kind.upper()], _named(environment, name))
            for kind, name in options
            if kind in ("topic", "group")
        ]
        operations = [Operation[what.upper()] for option, what in options if option == "operation"]
        rights += [Right(*thing, operation) for thing in things for operation in operations]
    assert rights, f"no rights of {user} are documented"
    return rights


def _named(environment: dict[str, str], name: str) -> str:
    """A test's own topic or group in the place of the one that the documentation names."""
    defaults = {
        "meter-telemetry": "KAFKA_METER_TOPIC",
        "vehicle-telemetry": "KAFKA_VEHICLE_TOPIC",
        "energy-ingest": "KAFKA_GROUP_ID",
    }
    return environment[defaults[name]]


@contextmanager
def secured_kafka() -> Iterator[SecuredBroker]:
    """A running broker with the one user, who has no rights; gone at the end."""
    with ExitStack() as undo:
        directory = undo.enter_context(tempfile.TemporaryDirectory(prefix="secured-kafka-"))
        ports = Ports()
        undo.callback(ports.close)
        broker = SecuredBroker(Path(directory), ports)
        with broker.formatted():
            pass
        undo.callback(lambda: broker.kill() if broker.running else None)
        broker.start()
        for mechanism in HASHES:
            broker.set_password(mechanism=mechanism)
        yield broker
