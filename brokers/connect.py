"""How every process of the project connects to the brokers."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import KafkaError

from schemas.settings import Settings, SettingsError
from schemas.text import one_line

REQUEST_TIMEOUT_MS = 10_000
CONNECT_TIMEOUT_MS = 3_000


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
        assert settings.kafka_sasl_password
        options["sasl_plain_password"] = settings.kafka_sasl_password.get_secret_value()
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


async def why_not_connected(options: Mapping[str, Any]) -> str | None:
    """Why no broker lets a client with these `kafka_options` in; None when one of them does.

    aiokafka's clients say only that they are not connected, also when the password is wrong or a
    certificate is not trusted. This connects once to each and tells what came of it.
    """
    how = {name: value for name, value in options.items() if name != "bootstrap_servers"}
    hosts = collect_hosts(options["bootstrap_servers"], randomize=False)
    reasons = await asyncio.gather(*(_why_refused(host, port, how) for host, port, _ in hosts))
    return None if None in reasons else "; ".join(filter(None, reasons))


async def _why_refused(host: str, port: int, how: Mapping[str, Any]) -> str | None:
    try:
        connection = await create_conn(host, port, request_timeout_ms=CONNECT_TIMEOUT_MS, **how)
    except (KafkaError, OSError, TimeoutError) as error:
        text = "no answer" if isinstance(error, TimeoutError) else one_line(error)
        return f"{host}:{port}: {text}"
    connection.close()
    return None
