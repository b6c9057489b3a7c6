"""`python -m api`: the HTTP API on APP_PORT, until SIGTERM or SIGINT; `keys` makes its keys.

It answers requests at once, and waits for PostgreSQL, its schema, Kafka and the topics in the
background. Meanwhile /health/live answers 200; /health/ready, and each route that needs something
that is missing, answer 503.
"""

import argparse
import asyncio
import errno
import logging
import os
import signal
import socket
import sys

import uvloop

from api.app import Hopeless, create_app
from api.http.beside import switch_often
from api.http.draining import Draining
from api.keys.commands import keys_command
from api.keys.demand import warnings, why_demanded, why_open
from api.keys.errors import NoLiveKeyError
from api.keys.options import add_keys
from api.server import GRACE_S, Server
from brokers.connect import kafka_options
from reporting import command
from reporting.logs import configure_logging
from reporting.tracing import start_tracing, stop_tracing
from schemas.settings import Settings, SettingsError, load_settings
from schemas.text import one_line
from serving.certificate import Certificate, certificate_of
from serving.limits import MAX_CONNECTIONS
from serving.server import Config, listen
from sql.errors import UnsuitableDatabaseError
from sql.tls_files import check_files

BACKLOG = 2048

KEPT_BACK = 64
"""File descriptors for what is neither a client nor a pooled connection: Kafka, replays, files."""

log = logging.getLogger("api")


def main() -> int:
    """Run the API; returns the exit status."""
    parser = command.Parser(
        prog="python -m api",
        description=__doc__,
        epilog="Settings come from the environment: APP_PORT, DB_*, KAFKA_* and the others in "
        "README.md.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_keys(parser)
    arguments = parser.parse_args()
    try:
        settings = load_settings()
        configure_logging(settings.log_format, settings.log_level)
        check_files(settings)
        if arguments.command is not None:
            return keys_command(settings, arguments)
        kafka_options(settings)
        certificate = certificate_of(settings)
        start_tracing("energy-api")
    except SettingsError as error:
        command.fail(error)
        return command.BAD_INPUT_STATUS
    try:
        return _listen(settings, certificate)
    finally:
        stop_tracing()


def _listen(settings: Settings, certificate: Certificate | None) -> int:
    """Answer requests until a signal; returns the exit status."""
    try:
        listener = listen(settings.app_host, settings.app_port, BACKLOG)
    except OSError as error:
        command.fail(_why_not_listening(settings, error))
        return command.FAILED_STATUS
    switch_often()
    with listener:
        try:
            uvloop.run(serve(settings, listener, certificate))
        except UnsuitableDatabaseError as error:
            command.fail(one_line(error))
            return command.FAILED_STATUS
        except NoLiveKeyError as error:
            command.fail(one_line(error))
            return command.BAD_INPUT_STATUS
        except asyncio.CancelledError:
            return command.INTERRUPTED_STATUS
    return 0


def _why_not_listening(settings: Settings, error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return f"APP_HOST={settings.app_host}: {error.strerror}"
    why = os.strerror(error.errno or 0)
    if error.errno == errno.EADDRNOTAVAIL:
        return f"APP_HOST={settings.app_host}: {why}"
    return f"APP_PORT={settings.app_port}: {why}"


async def serve(
    settings: Settings, listener: socket.socket, certificate: Certificate | None
) -> None:
    """Answer requests on `listener` until a signal; requests under way are finished.

    Raises UnsuitableDatabaseError or NoLiveKeyError.
    """
    hopeless: Hopeless | None = None

    def give_up(error: Hopeless) -> None:
        nonlocal hopeless
        hopeless = error
        server.should_exit = True

    draining = Draining()
    config = Config(
        create_app(settings, give_up, draining, certificate),
        max_connections=MAX_CONNECTIONS,
        kept_back=settings.db_pool_size + KEPT_BACK,
        grace_s=GRACE_S,
        trusted_proxies=settings.app_trusted_proxies,
        certificate=certificate,
    )
    server = Server(config, draining)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, server.handle_exit)  # so early, and until the very end
    if why_demanded(settings) is None:
        log.log(logging.WARNING if warnings(settings) else logging.INFO, "%s", why_open(settings))
    host, port = listener.getsockname()[:2]
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    scheme = "https" if certificate else "http"
    log.info("serving on %s://%s", scheme, address, extra={"port": port})
    await server.serve(sockets=[listener])
    log.info("stopped")
    if hopeless:
        raise hopeless


if __name__ == "__main__":
    sys.exit(command.run(main))
