"""`python -m devstack demo`: the whole path, live, until Ctrl-C or for a number of seconds."""

import argparse

from devstack.demo.interrupt import Interrupted
from devstack.demo.run import run
from devstack.messages import say

INTERRUPTED = 130


def main(arguments: list[str]) -> int:
    """Run the demo; 0 when at its end the books balance and everything is as the fleet knows it."""
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
        return run(parser.parse_args(arguments).seconds)
    except Interrupted:
        say("stopped before its end: nothing was checked")
        return INTERRUPTED


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 1 <= seconds <= 1e6:
        raise argparse.ArgumentTypeError("must be 1 to 1,000,000")
    return seconds
