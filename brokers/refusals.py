"""Why the brokers don't let us in, in words that name the setting to mend.

aiokafka's clients say only that they are not connected, also when the password is wrong or a
certificate is not trusted.
"""

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any

from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from schemas.text import one_line

CONNECT_TIMEOUT_MS = 3_000
NO_TOPICS: list[str] = []
TLS_ALERT = (0x15, 0x03)
"""How a TLS server begins to answer what is no TLS: the first bytes of an alert."""

UNKNOWN_AUTHORITY = (2, 18, 19, 20, 21)
WRONG_NAME = (62, 64)
NOT_YET, ENDED = 9, 10
"""OpenSSL's X509_V_ERR_* numbers."""


async def why_not_connected(options: Mapping[str, Any]) -> str | None:
    """Why no broker lets a client with these `kafka_options` in; None when one of them does.

    It connects once to each and tells what came of it.
    """
    how = {name: value for name, value in options.items() if name != "bootstrap_servers"}
    hosts = collect_hosts(options["bootstrap_servers"], randomize=False)
    reasons = await asyncio.gather(*(_why_refused(host, port, how) for host, port, _ in hosts))
    return None if None in reasons else "; ".join(filter(None, reasons))


async def _why_refused(host: str, port: int, how: Mapping[str, Any]) -> str | None:
    try:
        await _ask(host, port, how)
    except TimeoutError:
        return f"{host}:{port}: no answer"
    except (KafkaError, OSError) as error:
        if isinstance(error, ConnectionResetError) and await _speaks_no_tls(host, port, how):
            why = f"the broker speaks no TLS there: not {_protocol(how)}"
        else:
            why = _in_words(error, host, how)
        return f"{host}:{port}: {why}"
    return None


async def _ask(host: str, port: int, how: Mapping[str, Any]) -> None:
    """Connect, and ask what a broker tells only those whom it let in."""
    connection = await create_conn(host, port, request_timeout_ms=CONNECT_TIMEOUT_MS, **how)
    try:
        await connection.send(MetadataRequest(NO_TOPICS))
    finally:
        connection.close()


async def _speaks_no_tls(host: str, port: int, how: Mapping[str, Any]) -> bool:
    """Whether a broker that ended our TLS answers without."""
    if "ssl_context" not in how:
        return False
    try:
        connection = await create_conn(host, port, request_timeout_ms=CONNECT_TIMEOUT_MS)
    except (KafkaError, OSError, TimeoutError):
        return False
    connection.close()
    return True


def _in_words(error: Exception, host: str, how: Mapping[str, Any]) -> str:
    cause = error.__cause__ if isinstance(error, KafkaConnectionError) else None
    match cause or error:
        case SaslAuthenticationFailed():
            return "the user or the password is wrong (KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD)"
        case UnsupportedSaslMechanismError():
            return f"the broker does not offer KAFKA_SASL_MECHANISM={how['sasl_mechanism']}"
        case IllegalSaslStateError():
            return f"the broker asks for no password there: not {_protocol(how)}"
        case ssl.SSLCertVerificationError() as refused:
            return _broker_not_trusted(refused, host)
        case ssl.SSLError(reason=str(reason)) if "CERTIFICATE_REQUIRED" in reason:
            return "the broker asks for a client certificate (KAFKA_SSL_CERTFILE)"
        case ssl.SSLError(reason=str(reason)) if "ALERT" in reason:
            said = reason.rpartition("ALERT_")[2].lower().replace("_", " ")
            return f"the broker does not accept our certificate (KAFKA_SSL_CERTFILE): {said}"
        case asyncio.IncompleteReadError(expected=int(size)) if _is_tls_alert(size):
            return f"the broker speaks TLS there: not {_protocol(how)}"
        case asyncio.IncompleteReadError() if "sasl_mechanism" not in how:
            return (
                "the broker ends the connection: perhaps it asks for a user and a password, so not"
                f" {_protocol(how)}"
            )
        case other:
            return one_line(other)


def _broker_not_trusted(error: ssl.SSLCertVerificationError, host: str) -> str:
    if error.verify_code in WRONG_NAME:
        return f"the broker's certificate is not for {host}, its name in KAFKA_BOOTSTRAP_SERVERS"
    if error.verify_code in UNKNOWN_AUTHORITY:
        return "the broker's certificate is of an authority that is not in KAFKA_SSL_CAFILE"
    if error.verify_code in (NOT_YET, ENDED):
        return f"the broker's {error.verify_message}"
    return f"the broker's certificate cannot be verified: {error.verify_message}"


def _is_tls_alert(size: int) -> bool:
    return (size >> 24, size >> 16 & 0xFF) == TLS_ALERT


def _protocol(how: Mapping[str, Any]) -> str:
    return f"KAFKA_SECURITY_PROTOCOL={how['security_protocol']}"
