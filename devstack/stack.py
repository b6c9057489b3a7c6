"""The whole stack as a context manager: PostgreSQL, Kafka brokers, the database and the topics.

with Stack() as stack:
    subprocess.run([...], env={**os.environ, **stack.environment})
    stack.services["postgres"].kill()
"""

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from devstack.data_dir import DataDirectory, Notes
from devstack.errors import DevstackError
from devstack.jar_cache import class_path
from devstack.kafka import LOG_APPEND_TIME, Broker, Cluster, new_cluster_id
from devstack.kafka_security import ADMINISTRATOR, Security
from devstack.kafka_users import set_password
from devstack.kafka_wire import create_topic
from devstack.limits import DEFAULT_PARTITIONS, MOST_BROKERS
from devstack.messages import say
from devstack.ports import LOOPBACK, Ports
from devstack.postgres import PASSWORD, SUPERUSER, Postgres
from devstack.service import Service
from devstack.shutdown import end_all
from schemas.streams import STREAMS

SESSION_TOPIC = "KAFKA_SESSION_TOPIC"
ROLES = ("kafka", "controller")
"""What a broker has ports for: its clients and its controller."""
UNSECURED = {"KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"}
"""Said, for a shell may still have the variables of a stack with --secure."""
SECURE_ROLES = (*ROLES, "own")
"""With --secure, brokers talk to each other on ports of their own."""


class Stack:
    """A stack that runs while it is entered; its processes never outlive this one."""

    servers: tuple[str, ...] = ("postgres",)
    """Names of the PostgreSQL servers; processes reach the first."""

    def __init__(
        self,
        data_dir: Path | None = None,
        brokers: int = 1,
        partitions: int = DEFAULT_PARTITIONS,
        names: Mapping[str, str] = os.environ,
        *,
        secure: bool = False,
        sessions: bool = False,
    ) -> None:
        """`names` has the variables that name the database and the topics.

        Without `data_dir` the stack uses a temporary directory. When `secure`, the brokers ask
        clients for a certificate and a password, and `environment` has them. With `sessions` it
        also names the topic of session events, which is there in any case.
        """
        if not 1 <= brokers <= MOST_BROKERS:
            raise DevstackError(f"--brokers must be 1 to {MOST_BROKERS}, not {brokers}")
        if partitions < 1:
            raise DevstackError(f"--partitions must be at least 1, not {partitions}")
        self._wanted_dir = data_dir
        self._brokers_wanted = brokers
        self._partitions = partitions
        self._database = names.get("DB_DATABASE") or "energy_ingestion"
        self.secure = secure
        self._topics = {
            f"KAFKA_{name.upper()}_TOPIC": names.get(f"KAFKA_{name.upper()}_TOPIC")
            or f"{name}-telemetry"
            for name in STREAMS
        }
        """By the variable that names the topic."""
        self._session_topic = names.get(SESSION_TOPIC) or "charging-sessions"
        self._sessions = sessions
        self._undo = ExitStack()
        self._security: Security | None = None
        self.services: dict[str, Service] = {}
        self.ports = Ports()
        self.data_dir = Path()

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            directory = DataDirectory(self._wanted_dir)
            undo.callback(directory.close)
            undo.callback(self.ports.close)
            self.data_dir = directory.path
            jars = class_path()
            undo.callback(lambda: end_all(self.services))
            self._define_services(directory, jars)
            self._start_services()
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._undo.close()

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which the project's commands reach the stack."""
        servers = ",".join(f"{LOOPBACK}:{broker.port}" for broker in self.brokers())
        return {
            "KAFKA_BOOTSTRAP_SERVERS": servers,
            "DB_HOST": LOOPBACK,
            "DB_PORT": str(self.services["postgres"].port),
            "DB_USERNAME": SUPERUSER,
            "DB_PASSWORD": PASSWORD,
            "DB_DATABASE": self._database,
            **self._topics,
            **({SESSION_TOPIC: self._session_topic} if self._sessions else {}),
            **(self._security.environment if self._security else UNSECURED),
        }

    def service(self, name: str) -> Service:
        """The service of that name; `kafka` is the first broker. Raises DevstackError."""
        if name == "kafka":
            return self.brokers()[0]
        if name == "kafka-1" and len(self.brokers()) == 1:
            return self.brokers()[0]
        if name not in self.services:
            raise DevstackError(f"there is no service {name}; there are {', '.join(self.services)}")
        return self.services[name]

    def brokers(self) -> list[Broker]:
        """Kafka's."""
        return [service for service in self.services.values() if isinstance(service, Broker)]

    def make_server(self, name: str, port: int) -> Postgres:
        """One of the PostgreSQL servers."""
        return Postgres(port, self.data_dir, name)

    def create_database(self, name: str) -> None:
        """Create it unless it exists. Raises DevstackError."""
        self._postgres()[0].create_database(name)

    def _postgres(self) -> list[Postgres]:
        return [service for service in self.services.values() if isinstance(service, Postgres)]

    def _has_quorum(self) -> bool:
        brokers = self.brokers()
        return sum(broker.running and not broker.frozen for broker in brokers) * 2 > len(brokers)

    def _define_services(self, directory: DataDirectory, jars: str) -> None:
        """Give each service its port: that of the last run where it is still free."""
        count = self._brokers_wanted
        notes = directory.remembered() or Notes(count, self._partitions, new_cluster_id(), {})
        self._refuse_another_shape(notes)
        roles = SECURE_ROLES if self.secure else ROLES
        names = [
            *self.servers,
            *(f"{role}-{i}" for role in roles for i in range(1, count + 1)),
        ]
        taken = {name: self.ports.take(notes.ports.get(name)) for name in names}
        if self.secure:
            own_ports = [taken[f"own-{i}"] for i in range(1, count + 1)]
            self._security = Security(self.data_dir / "security", own_ports)
        cluster = Cluster(
            cluster_id=notes.cluster_id,
            client_ports=[taken[f"kafka-{i}"] for i in range(1, count + 1)],
            controller_ports=[taken[f"controller-{i}"] for i in range(1, count + 1)],
            security=self._security,
        )
        directory.remember(Notes(count, self._partitions, notes.cluster_id, notes.ports | taken))
        for name in self.servers:
            self.services[name] = self.make_server(name, taken[name])
        for node_id in range(1, count + 1):
            broker = Broker(node_id, cluster, self.data_dir, jars, self._has_quorum)
            self.services[broker.name] = broker

    def _refuse_another_shape(self, notes: Notes) -> None:
        """Raise DevstackError when the directory was made for other brokers or partitions."""
        for option, made, wanted in (
            ("--brokers", notes.brokers, self._brokers_wanted),
            ("--partitions", notes.partitions, self._partitions),
        ):
            if made != wanted:
                raise DevstackError(f"{self.data_dir} was made with {option} {made}, not {wanted}")

    def _start_services(self) -> None:
        """Start all at the same time; return once they answer and database and topics exist."""
        brokers = self.brokers()
        say(f"starting PostgreSQL and {len(brokers)} Kafka broker(s) in {self.data_dir}")
        for server in self._postgres():
            server.reach()
        with ExitStack() as formats:
            for broker in brokers:
                formats.enter_context(broker.formatted())
            for server in self._postgres():
                server.prepare()
                server.spawn()
        for broker in brokers:
            broker.spawn()
        for service in self.services.values():
            service.wait_until_answers()
            say(f"{service.name} answers on {LOOPBACK}:{service.port}")
        self.create_database(self._database)
        first = brokers[0]
        if self._security:
            set_password(first.own_port, self._security.tls, ADMINISTRATOR, self._security.password)
        topics = [*self._topics.values(), self._session_topic]
        for topic in topics:
            create_topic(
                first.own_port,
                topic,
                partitions=self._partitions,
                replicas=first.cluster.replicas,
                settings=LOG_APPEND_TIME,
                tls=first.tls,
            )
        for broker in brokers:
            broker.wait_until_knows(topics)
