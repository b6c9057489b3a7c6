"""`python -m devstack demo`: the whole path, live, until Ctrl-C or for a number of seconds."""

import argparse
import time
from contextlib import ExitStack

from devstack.demo.processes import DemoProcesses
from devstack.demo.run import Demo
from devstack.demo.services import free_port, services
from devstack.errors import DevstackError, Interrupted
from devstack.interrupt import INTERRUPTED_STATUS, Interrupt
from devstack.messages import say
from schemas.settings import SettingsError, load_settings


def main(arguments: list[str]) -> int:
    """Run the demo; return 0 when the books balance and agree with the fleet's ground truth."""
    parser = argparse.ArgumentParser(
        prog="python -m devstack demo",
        description="Starts Kafka and PostgreSQL (or uses those that KAFKA_BOOTSTRAP_SERVERS and "
        "DB_HOST name), two workers, the API on APP_PORT and a simulated fleet; at the end checks "
        "that every reading was accounted for.",
    )
    parser.add_argument(
        "--seconds",
        type=_seconds,
        metavar="N",
        help="end by itself once the fleet has run so long (default: until Ctrl-C)",
    )
    try:
        good = run(parser.parse_args(arguments).seconds)
    except Interrupted:
        say("stopped before its end: nothing was checked")
        return INTERRUPTED_STATUS
    return 0 if good else 1


def run(seconds: float | None) -> bool:
    """Start everything, run the demo, end everything; return whether every check holds.

    Raises DevstackError, and Interrupted when a signal comes before the fleet runs.
    """
    try:
        settings = load_settings()
    except SettingsError as error:
        raise DevstackError(str(error)) from None
    with Interrupt() as interrupt, ExitStack() as undo:
        started = undo.enter_context(ExitStack())
        undo.callback(interrupt.ignore)  # called first: nothing interrupts the end of `started`
        place = started.enter_context(services())
        processes = DemoProcesses(place, free_port(settings.app_port))
        started.callback(processes.stop)
        processes.start()
        prefix = "" if place.own else time.strftime("D%d%H%M%S-")
        return Demo(processes, settings, interrupt, prefix).run(seconds)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 1 <= seconds <= 1e6:
        raise argparse.ArgumentTypeError("must be 1 to 1,000,000")
    return seconds
