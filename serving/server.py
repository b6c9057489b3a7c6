"""A uvicorn server within the bounds of `limits`, in the caller's loop or in its own thread."""

import socket
import threading

import uvicorn
import uvloop
from starlette.types import ASGIApp

from serving.bodies import WholeBodies
from serving.limits import IDLE_TIMEOUT_S, RECEIVE_BUFFER_BYTES, connection_limit
from serving.protocol import BoundedProtocol


class Config(uvicorn.Config):
    """uvicorn's configuration, and how many connections there may be."""

    def __init__(self, app: ASGIApp, *, max_connections: int, kept_back: int, grace_s: int) -> None:
        """`kept_back` are the file descriptors that the process needs for other things.

        `grace_s` is how long requests under way may take once the server is asked to stop.
        """
        super().__init__(
            WholeBodies(app),
            http=BoundedProtocol,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=IDLE_TIMEOUT_S,
            timeout_graceful_shutdown=grace_s,
        )
        self.max_connections = connection_limit(max_connections, kept_back)


def listen(host: str, port: int, backlog: int) -> socket.socket:
    """A socket whose connections have small buffers. Raises OSError when the port is taken."""
    listener = socket.create_server((host, port), backlog=backlog)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    return listener


def serve_in_thread(config: Config, listener: socket.socket, name: str) -> uvicorn.Server:
    """Answer on `listener` from a daemon thread, until the server is told to exit.

    The thread has a loop of its own: it answers while that of the process is busy.
    """
    server = uvicorn.Server(config)
    threading.Thread(
        target=lambda: uvloop.run(server.serve(sockets=[listener])), name=name, daemon=True
    ).start()
    return server
