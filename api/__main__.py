"""`python -m api`: the HTTP API on APP_PORT, until SIGTERM or SIGINT.

It answers requests at once, and waits for PostgreSQL, its schema, Kafka and the topics in the
background. Meanwhile /health/live answers 200; /health/ready, and each route that needs something
that is missing, answer 503.
"""

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys

import uvicorn
import uvloop

from api.app import create_app
from api.http.beside import switch_often
from brokers.connect import kafka_options
from reporting.logs import configure_logging
from schemas.settings import Settings, SettingsError, load_settings
from schemas.text import one_line
from serving.limits import MAX_CONNECTIONS
from serving.server import Config, listen
from sql.errors import UnsuitableDatabaseError

HOST = "0.0.0.0"
BACKLOG = 2048
GRACE_S = 10
"""How long requests under way may take once the process is asked to stop."""

KEPT_BACK = 64
"""File descriptors for what is neither a client nor a pooled connection: Kafka, replays, files."""

log = logging.getLogger("api")


def main() -> int:
    """Run the API; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m api",
        description=__doc__,
        epilog="Settings come from the environment: APP_PORT, DB_*, KAFKA_* and the others in "
        "README.md.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args()
    try:
        settings = load_settings()
        kafka_options(settings)
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    configure_logging(settings.log_format)
    # These log every attempt to connect; reporting.waiting logs the first of a kind.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        listener = listen(HOST, settings.app_port, BACKLOG)
    except OSError as error:
        print(
            f"error: APP_PORT={settings.app_port}: {os.strerror(error.errno or 0)}", file=sys.stderr
        )
        return 1
    switch_often()
    with listener:
        try:
            uvloop.run(serve(settings, listener))
        except UnsuitableDatabaseError as error:
            print(f"error: {one_line(error)}", file=sys.stderr)
            return 1
    return 0


async def serve(settings: Settings, listener: socket.socket) -> None:
    """Answer requests on `listener` until a signal; requests under way are finished.

    Raises UnsuitableDatabaseError.
    """
    unsuitable: UnsuitableDatabaseError | None = None

    def give_up(error: UnsuitableDatabaseError) -> None:
        nonlocal unsuitable
        unsuitable = error
        server.should_exit = True

    config = Config(
        create_app(settings, give_up),
        max_connections=MAX_CONNECTIONS,
        kept_back=settings.db_pool_size + KEPT_BACK,
        grace_s=GRACE_S,
    )
    server = uvicorn.Server(config)

    def stop(*_: object) -> None:
        server.should_exit = True

    # At its end uvicorn raises the signals it caught once more; these handlers take them.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    log.info("serving on http://%s:%d", *listener.getsockname())
    await server.serve(sockets=[listener])
    log.info("stopped")
    if unsuitable:
        raise unsuitable


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)
