"""Cutting a connection off: the only way to end a thread's wait for a server that hangs."""

import contextlib
import os
import socket
from typing import Any

import psycopg


def cut(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> None:
    """Cut the connection under a thread or task that waits for PostgreSQL; its call then raises."""
    if connection.closed:
        return
    with (
        contextlib.suppress(OSError),  # the server was faster
        socket.socket(fileno=os.dup(connection.fileno())) as ours,
    ):
        ours.shutdown(socket.SHUT_RDWR)
