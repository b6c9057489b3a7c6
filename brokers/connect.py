"""How every process of the project connects to the brokers."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient

from schemas.settings import Settings, SettingsError

REQUEST_TIMEOUT_MS = 10_000


def kafka_options(settings: Settings) -> dict[str, Any]:
    """Keyword arguments every aiokafka client takes: servers and security.

    Raises SettingsError when KAFKA_SSL_CAFILE cannot be read.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap_servers,
        "security_protocol": settings.kafka_security_protocol,
    }
    if settings.kafka_security_protocol.startswith("SASL"):
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        options["sasl_plain_username"] = settings.kafka_sasl_username
        options["sasl_plain_password"] = settings.kafka_sasl_password
    if settings.kafka_security_protocol.endswith("SSL"):
        try:
            options["ssl_context"] = ssl.create_default_context(cafile=settings.kafka_ssl_cafile)
        except OSError as error:
            raise SettingsError(f"KAFKA_SSL_CAFILE: {settings.kafka_ssl_cafile}: {error}") from None
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
