"""Loopback ports that no two stacks share, and that a restarted service finds free.

They lie below the kernel's ephemeral range, so no outgoing connection takes one while its service
is down. Each is reserved by an abstract unix socket named after it, which the kernel removes when
this process ends.
"""

import random
import socket
import sys

from devstack.errors import DevstackError

LOWEST_PORT = 20_000
HIGHEST_PORT = 32_000
ATTEMPTS = 200
LOOPBACK = "127.0.0.1"


class Ports:
    """The ports of one stack, reserved until `close`."""

    def __init__(self) -> None:
        self._reservations: list[socket.socket] = []

    def take(self, preferred: int | None = None) -> int:
        """Reserve a free port, `preferred` if it is free. Raises DevstackError when none is."""
        candidates = [preferred] if preferred else []
        candidates += random.sample(range(LOWEST_PORT, HIGHEST_PORT), ATTEMPTS)
        for port in candidates:
            if is_free(port) and self._reserve(port):
                return port
        raise DevstackError(f"no free port between {LOWEST_PORT} and {HIGHEST_PORT} on {LOOPBACK}")

    def close(self) -> None:
        """Give up the reservations."""
        while self._reservations:
            self._reservations.pop().close()

    def _reserve(self, port: int) -> bool:
        if sys.platform != "linux":
            return True
        reservation = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            reservation.bind(f"\0energy-ingestion-devstack-{port}")
        except OSError:
            reservation.close()
            return False
        self._reservations.append(reservation)
        return True


def is_free(port: int) -> bool:
    """Whether a service could listen on `port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
