"""Connections that speak TLS, from their first byte until both sides have agreed on keys.

asyncio's own servers tell us of a connection only after that: whoever connects and says nothing
would cost a file descriptor that no bound knows of. Here such a connection is one of the server's
from the start, and makes room for others like one whose request has not begun.
"""

import asyncio
import contextlib
import os
import socket
from typing import Any

from serving.limits import GOODBYE_S, HANDSHAKE_TIMEOUT_S
from serving.protocol import BoundedProtocol, Phase, make_room, next_turn


class Handshake(asyncio.Protocol):
    """A new connection of a server that has a certificate; a BoundedProtocol takes it over."""

    phase = Phase.HEAD

    def __init__(self, config: Any, server_state: Any, **more: Any) -> None:
        self._config = config
        self._connections: set[Any] = server_state.connections
        self._inner = BoundedProtocol(config, server_state, handshake=self, **more)
        self._connection: Any = None
        self._agreeing: asyncio.Task[None] | None = None
        self.turn = next_turn()

    def connection_made(self, transport: Any) -> None:
        """Take the connection over from asyncio before its first byte is read."""
        taken = os.dup(transport.get_extra_info("socket").fileno())
        transport.abort()
        self._connection = socket.socket(fileno=taken)
        self._connection.setblocking(False)
        self._connections.add(self)
        self._agreeing = asyncio.get_running_loop().create_task(self._agree())
        if len(self._connections) > self._config.max_connections and not make_room(
            self._connections, self
        ):
            self.give_way()

    def may_give_way(self) -> bool:
        """Whether it is the client that is waited for: always."""
        return True

    def give_way(self) -> None:
        """End this connection now; without keys nothing can be said."""
        self._connections.discard(self)
        if self._agreeing:
            self._agreeing.cancel()
        with contextlib.suppress(OSError):  # the client may have gone
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()

    def shutdown(self) -> None:
        """End it, as the server stops."""
        self.give_way()

    async def _agree(self) -> None:
        """Agree on keys. Who speaks no TLS, is too slow or goes away is no news."""
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self._inner,
                self._connection,
                ssl=self._config.certificate.context,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S,
                ssl_shutdown_timeout=GOODBYE_S,
            )
        self._connections.discard(self)
