"""What makes a stack's brokers ask who their clients are, and what the clients have to show.

Clients come in by SASL_SSL, with a certificate and a password. Brokers and controllers talk to each
other, and the stack to them, by listeners of their own, with the brokers' certificate alone.
"""

import secrets
import ssl
from collections.abc import Sequence
from pathlib import Path

from devstack.authority import Authority, principal
from devstack.data_dir import write_atomically
from devstack.ports import LOOPBACK

MECHANISM = "SCRAM-SHA-512"
ADMINISTRATOR = "administrator"
BROKER, CLIENT = "kafka", "client"
LISTENERS = {"CLIENTS": "SASL_SSL", "BROKERS": "SSL", "CONTROLLER": "SSL"}
AUTHORIZER = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
LOGIN_MODULE = "org.apache.kafka.common.security.scram.ScramLoginModule"


class Security:
    """The authority, certificates and passwords of one stack, kept in its directory."""

    def __init__(self, directory: Path, broker_ports: Sequence[int]) -> None:
        """`broker_ports` are where the brokers talk to each other; node 1 has the first."""
        self.authority = Authority(directory)
        self.broker_ports = broker_ports
        self._broker = self.authority.issue(BROKER, LOOPBACK, "localhost")
        self._client = self.authority.issue(CLIENT)
        password = directory / "password"
        if not password.exists():
            write_atomically(password, secrets.token_urlsafe(), secret=True)
        self.password = password.read_text(encoding="utf-8")
        """The administrator's."""
        self.tls = ssl.create_default_context(cafile=self.authority.file)
        """How the stack itself talks to the brokers."""
        self.tls.load_cert_chain(self._broker)

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which the administrator comes in."""
        return {
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": MECHANISM,
            "KAFKA_SASL_USERNAME": ADMINISTRATOR,
            "KAFKA_SASL_PASSWORD": self.password,
            **self.certificate(self._client),
        }

    def certificate(self, file: Path) -> dict[str, str]:
        """The variables of a client with the certificate in this file of the authority's."""
        return {
            "KAFKA_SSL_CAFILE": str(self.authority.file),
            "KAFKA_SSL_CERTFILE": str(file),
            "KAFKA_SSL_KEYFILE": str(file),
        }

    def settings(self, clients_port: int, node_id: int, controller_port: int) -> dict[str, str]:
        """A broker's settings that differ from those of a broker without secrets."""
        named = (
            f"CLIENTS://{LOOPBACK}:{clients_port},"
            f"BROKERS://{LOOPBACK}:{self.broker_ports[node_id - 1]}"
        )
        jaas = f"listener.name.clients.{MECHANISM.lower()}.sasl.jaas.config"
        return {
            "listeners": f"{named},CONTROLLER://{LOOPBACK}:{controller_port}",
            "advertised.listeners": named,
            "listener.security.protocol.map": ",".join(
                f"{name}:{protocol}" for name, protocol in LISTENERS.items()
            ),
            "inter.broker.listener.name": "BROKERS",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self._broker),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.authority.file),
            "ssl.client.auth": "required",
            "listener.name.clients.ssl.client.auth": "required",  # else it is not with passwords
            "sasl.enabled.mechanisms": MECHANISM,
            jaas: f"{LOGIN_MODULE} required;",
            "authorizer.class.name": AUTHORIZER,
            "super.users": f"User:{ADMINISTRATOR};{principal(BROKER)}",
        }
