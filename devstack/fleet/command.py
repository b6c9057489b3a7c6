"""`python -m devstack fleet`: a simulated fleet into whatever Kafka the environment names."""

import argparse
import asyncio
import signal
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

import orjson

from devstack.errors import DevstackError
from devstack.fleet.options import FAULTS, SHORTEST_INTERVAL_S, FleetOptions, parse_faults
from devstack.fleet.pace import Pace
from devstack.fleet.progress import JsonLines, TextLines
from devstack.fleet.run import run_fleet
from devstack.messages import say
from reporting.command import BAD_INPUT_STATUS, Parser
from reporting.logs import configure_logging
from schemas.analytics import MAX_WINDOW
from schemas.settings import Settings, SettingsError, load_settings
from schemas.streams.times import SECOND_US, to_micros

MAX_WINDOW_US = MAX_WINDOW // timedelta(microseconds=1)
"""The ground truth is about the longest window that the API answers for, or less."""
Number = TypeVar("Number", int, float)


def main(arguments: list[str]) -> int:
    """Run until the pace's end or a signal; print the ground truth as JSON; return the status."""
    parsed = parser().parse_args(arguments)
    try:
        options = FleetOptions(
            meters=parsed.meters,
            vehicles=parsed.vehicles,
            seed=parsed.seed,
            faults=parsed.faults,
            array_size=parsed.arrays,
            mixed=parsed.mixed,
            prefix=parsed.prefix,
        )
    except ValueError as error:
        raise DevstackError(str(error)) from None
    pace = Pace(
        interval_s=parsed.interval_s,
        live_interval_s=parsed.live_interval_s,
        speed=parsed.speed,
        backfill_h=parsed.backfill_h,
        seconds=parsed.seconds,
    )
    try:
        settings = load_settings()
    except SettingsError as error:
        say(f"error: {error}")
        return BAD_INPUT_STATUS
    configure_logging(settings.log_format, settings.log_level)
    asyncio.run(_run(options, pace, settings, parsed.api, parsed.progress == "json"))
    return 0


async def _run(
    options: FleetOptions, pace: Pace, settings: Settings, api: str | None, json_progress: bool
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with JsonLines() if json_progress else TextLines() as progress:
        fleet, start = await run_fleet(
            options, pace, settings, api_url=api, stop=stop, progress=progress
        )
    end = fleet.now + SECOND_US
    summary = fleet.truth.summary(max(to_micros(start), end - MAX_WINDOW_US), end)
    form = None if json_progress else orjson.OPT_INDENT_2
    print(orjson.dumps(summary, option=(form or 0) | orjson.OPT_NON_STR_KEYS).decode(), flush=True)


def _at_least(least: Number) -> Callable[[str], Number]:
    kind = type(least)

    def convert(text: str) -> Number:
        value = kind(text)
        if not least <= value < float("inf"):
            raise argparse.ArgumentTypeError(f"must be {least} or more")
        return value

    return convert


def _interval(text: str) -> float:
    return round(_at_least(SHORTEST_INTERVAL_S)(text), 3)


def _faults(text: str) -> frozenset[str]:
    try:
        return parse_faults(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


PACE_OPTIONS = (
    (
        "--interval-s",
        _interval,
        "S",
        "simulated seconds between two readings of a device (default 60)",
    ),
    (
        "--live-interval-s",
        _interval,
        "S",
        "the same once simulated time has caught up with the clock (default: as before)",
    ),
    (
        "--speed",
        _at_least(0.0),
        "X",
        "simulated seconds a second until then; 0 = as fast as can be (default 1)",
    ),
    (
        "--backfill-h",
        _at_least(0.0),
        "H",
        "start H hours before the clock (default: what fits --speed and --seconds, else 24)",
    ),
    (
        "--seconds",
        _at_least(0.0),
        "S",
        "how long to run; 0 = until the clock is caught up with (default: until stopped)",
    ),
)
"""Options that are fields of Pace: name, conversion, metavar and help."""


def parser() -> Parser:
    """The fleet's options."""
    parser = Parser(
        prog="python -m devstack fleet",
        description=__doc__,
        epilog="Readings never lie ahead of the clock: faster than real time means from the past "
        "up to now. At the end it prints what it knows it sent, as JSON.",
    )
    add = parser.add_argument
    fleet = FleetOptions()
    for name, text in (("meters", "chargers"), ("vehicles", "vehicles")):
        count = getattr(fleet, name)
        add(f"--{name}", type=int, default=count, metavar="N", help=f"{text} (default {count})")
    add("--seed", type=int, default=fleet.seed, metavar="N", help="equal seeds, equal fleets")
    add("--prefix", default="", help="comes before every device id")
    text = f"what goes wrong: all, none, or some of {','.join(FAULTS)} (default none)"
    add("--faults", type=_faults, default=frozenset(), metavar="NAMES", help=text)
    add("--arrays", type=int, default=1, metavar="N", help="gateways send arrays of up to N")
    add("--mixed", action="store_true", help="only every second gateway sends arrays")
    pace = Pace()
    for name, convert, metavar, text in PACE_OPTIONS:
        default = getattr(pace, name.removeprefix("--").replace("-", "_"))
        add(name, type=convert, default=default, metavar=metavar, help=text)
    add("--api", metavar="URL", help="register the devices and report the sessions there")
    add("--progress", choices=("text", "json"), default="text", help="json: lines on stdout")
    return parser
