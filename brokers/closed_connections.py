"""A connection to a broker that just closed: aiokafka expects OSError, uvloop says RuntimeError.

Unmended, one broker that goes at the wrong moment ends a task of aiokafka, or a worker.
"""

import functools
from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

_send = AIOKafkaConnection.send


@functools.wraps(_send)
def _send_or_close(connection: AIOKafkaConnection, *request: Any, **options: Any) -> Any:
    try:
        return _send(connection, *request, **options)
    except RuntimeError as error:
        connection.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"{connection} is closed: {error}") from error


def take_as_broken() -> None:
    """Have every connection of this process say that it is broken, as aiokafka understands it."""
    AIOKafkaConnection.send = _send_or_close
