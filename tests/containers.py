"""Kafka and PostgreSQL as containers, for machines with a Docker engine.

Images and settings are those of docker-compose.yml, with Kafka's listeners where a client outside
of any container finds them.
"""

import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml

from devstack.ports import Ports

COMPOSE_FILE = Path(__file__).parent.parent / "docker-compose.yml"
PASSWORD = "postgres"


def docker_answers() -> bool:
    """Whether containers can be had."""
    if not shutil.which("docker"):
        return False
    asked = subprocess.run(
        ["docker", "info", "--format", "{{.ServerVersion}}"], capture_output=True, check=False
    )
    return asked.returncode == 0


def start_containers(undo: ExitStack) -> dict[str, str]:
    """Start both; returns the environment that names them."""
    from testcontainers.community.postgres import PostgresContainer
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    services = yaml.safe_load(COMPOSE_FILE.read_text(encoding="utf-8"))["services"]
    ports = Ports()
    undo.callback(ports.close)
    port = ports.take()
    kafka = DockerContainer(services["kafka"]["image"], env=kafka_settings(services, port))
    kafka.with_bind_ports(port, port).waiting_for(LogMessageWaitStrategy("Kafka Server started"))
    undo.enter_context(kafka)
    postgres = undo.enter_context(
        PostgresContainer(
            services["postgres"]["image"],
            username="postgres",
            password=PASSWORD,
            dbname="postgres",
            driver=None,
        )
    )
    return {
        "KAFKA_BOOTSTRAP_SERVERS": f"localhost:{port}",
        "DB_HOST": postgres.get_container_host_ip(),
        "DB_PORT": str(postgres.get_exposed_port(5432)),
        "DB_USERNAME": "postgres",
        "DB_PASSWORD": PASSWORD,
    }


def kafka_settings(services: dict[str, Any], port: int) -> dict[str, str]:
    """Compose's settings of the broker, listening for clients on `port` of this machine."""
    settings: dict[str, str] = services["kafka"]["environment"]
    return settings | {
        "KAFKA_LISTENERS": f"INTERNAL://:19092,HOST://:{port},CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"INTERNAL://localhost:19092,HOST://localhost:{port}",
    }
