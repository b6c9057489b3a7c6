"""How every process of the project reaches PostgreSQL, and how it lets go of it."""

import contextlib
import os
import socket
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from reporting.applications import Application
from schemas.settings import Settings

Connection = psycopg.Connection[Any]


def conninfo(settings: Settings, application: Application, **parameters: Any) -> str:
    """libpq connection string; dead peers are noticed within about half a minute.

    `parameters` are further ones of libpq, such as `options`.
    """
    return make_conninfo(
        host=settings.db_host,
        port=settings.db_port,
        user=settings.db_username,
        password=settings.db_password,
        dbname=settings.db_database,
        sslmode=settings.db_sslmode,
        application_name=application,
        connect_timeout=10,
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
        tcp_user_timeout=30_000,
        **parameters,
    )


def cut(connection: Connection) -> None:
    """Cut the connection under a thread that waits for PostgreSQL; its call then raises."""
    if connection.closed:
        return
    with (
        contextlib.suppress(OSError),  # the server was faster
        socket.socket(fileno=os.dup(connection.fileno())) as ours,
    ):
        ours.shutdown(socket.SHUT_RDWR)
