"""Users with passwords, which the brokers keep as SCRAM keeps them: salted and hashed."""

import hashlib
import secrets
import ssl
from typing import Any

from aiokafka.protocol.api import RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from devstack.errors import DevstackError
from devstack.kafka_wire import NO_ERROR, ask

ITERATIONS = 4096
HASHES = {"SCRAM-SHA-256": (1, "sha256"), "SCRAM-SHA-512": (2, "sha512")}
"""By the mechanism: its number in Kafka's protocol, and the hash's name."""
_TEXT = CompactString("utf-8")


class AlterUserScramCredentialsResponse(Response):  # type: ignore[misc]
    """What became of each user."""

    API_KEY = 51
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            CompactArray(
                ("user", _TEXT),
                ("error_code", Int16),
                ("error_message", _TEXT),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class AlterUserScramCredentialsRequest(RequestStruct):  # type: ignore[misc]
    """Kafka's own request, which aiokafka does not have."""

    API_KEY = 51
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = AlterUserScramCredentialsResponse
    SCHEMA = Schema(
        ("deletions", CompactArray(("name", _TEXT), ("mechanism", Int8), ("tags", TaggedFields))),
        (
            "upsertions",
            CompactArray(
                ("name", _TEXT),
                ("mechanism", Int8),
                ("iterations", Int32),
                ("salt", CompactBytes),
                ("salted_password", CompactBytes),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


def set_password(
    port: int, tls: ssl.SSLContext, user: str, password: str, mechanism: str = "SCRAM-SHA-512"
) -> None:
    """Let the user in by this password, and no longer by another one.

    Raises DevstackError when the cluster refuses.
    """
    number, name = HASHES[mechanism]
    salt = secrets.token_bytes(32)
    salted = hashlib.pbkdf2_hmac(name, password.encode(), salt, ITERATIONS)
    wanted: tuple[Any, ...] = (user, number, ITERATIONS, salt, salted, {})
    answer = ask(port, AlterUserScramCredentialsRequest([], [wanted], {}), tls=tls).to_object()
    for result in answer["results"]:
        if result["error_code"] != NO_ERROR:
            raise DevstackError(f"Kafka won't have the user {user}: {result['error_message']}")
