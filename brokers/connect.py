"""How every process of the project connects to the brokers."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient

from brokers import closed_connections
from brokers.certificates import brokers_context
from schemas.settings import Settings

REQUEST_TIMEOUT_MS = 10_000
SASL_AUTHENTICATE = 36
"""Kafka's number of the requests that hold passwords, and of their answers."""


def _holds_no_password(record: logging.LogRecord) -> bool:
    arguments = record.args if isinstance(record.args, tuple) else ()
    return all(getattr(one, "API_KEY", None) != SASL_AUTHENTICATE for one in arguments)


logging.getLogger("aiokafka.conn").addFilter(_holds_no_password)  # at debug it logs every request
closed_connections.take_as_broken()


def kafka_options(settings: Settings) -> dict[str, Any]:
    """Keyword arguments every aiokafka client takes: servers and security.

    Raises SettingsError when a file that KAFKA_SSL_* names cannot be used.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap_servers,
        "security_protocol": settings.kafka_security_protocol,
    }
    if settings.kafka_security_protocol.startswith("SASL"):
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        options["sasl_plain_username"] = settings.kafka_sasl_username
        assert settings.kafka_sasl_password
        options["sasl_plain_password"] = settings.kafka_sasl_password.get_secret_value()
    if settings.kafka_security_protocol.endswith("SSL"):
        options["ssl_context"] = brokers_context(settings)
    return options


@asynccontextmanager
async def connected_admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client, closed at the end. Raises KafkaError."""
    admin = AIOKafkaAdminClient(**kafka_options(settings), request_timeout_ms=REQUEST_TIMEOUT_MS)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()
