"""A uvicorn server within the bounds of `limits`, in the caller's loop or in its own thread."""

import socket
import threading
from typing import Any

import uvicorn
import uvloop
from starlette.types import ASGIApp

from serving.bodies import InPieces, WholeBodies
from serving.certificate import Certificate
from serving.handshake import Handshake
from serving.limits import IDLE_TIMEOUT_S, RECEIVE_BUFFER_BYTES, connection_limit
from serving.protocol import BoundedProtocol


class Config(uvicorn.Config):
    """uvicorn's configuration, and how many connections there may be."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_connections: int,
        kept_back: int,
        grace_s: int,
        trusted_proxies: str = "",
        certificate: Certificate | None = None,
    ) -> None:
        """`kept_back` are the file descriptors that the process needs for other things.

        `grace_s` is how long requests under way may take once the server is asked to stop.
        From `trusted_proxies`, addresses or networks, X-Forwarded-For and -Proto are believed.
        With a certificate the server speaks HTTPS.
        """
        protocol: Any = Handshake if certificate else BoundedProtocol
        answering: ASGIApp = WholeBodies(app)
        super().__init__(
            InPieces(answering) if certificate else answering,
            http=protocol,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(trusted_proxies),
            forwarded_allow_ips=trusted_proxies,
            timeout_keep_alive=IDLE_TIMEOUT_S,
            timeout_graceful_shutdown=grace_s,
        )
        self.max_connections = connection_limit(max_connections, kept_back)
        self.certificate = certificate


def listen(host: str, port: int, backlog: int) -> socket.socket:
    """A socket whose connections have small buffers. `::` takes IPv4, too.

    Raises OSError when the port is taken, or this machine has no such address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    dual = host == "::" and socket.has_dualstack_ipv6()
    listener = socket.create_server(
        (host, port), family=family, backlog=backlog, dualstack_ipv6=dual
    )
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    return listener


class ServerThread:
    """Answers on `listener` from a daemon thread with a loop of its own, until it is stopped.

    So it answers while the loop of the process is busy.
    """

    def __init__(self, config: Config, listener: socket.socket, name: str) -> None:
        self.server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._serve, args=(listener,), name=name, daemon=True
        )
        self._thread.start()

    def stop(self, within_s: float) -> None:
        """Close all connections; a request under way has so long to be answered.

        A process that ended beside the thread's loop could crash.
        """
        self.server.should_exit = True
        self._thread.join(within_s)
        self.server.force_exit = True
        self._thread.join(within_s)

    def _serve(self, listener: socket.socket) -> None:
        uvloop.run(self.server.serve(sockets=[listener]))
