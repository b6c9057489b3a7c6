"""`python -m devstack fleet`: a simulated fleet into whatever Kafka the environment names."""

import argparse
import asyncio
import signal
from collections.abc import Callable
from typing import TypeVar

import orjson

from devstack.fleet.options import FAULTS, SHORTEST_INTERVAL_S, FleetOptions, parse_faults
from devstack.fleet.pace import Pace
from devstack.fleet.progress import JsonLines, Lines
from devstack.fleet.run import run_fleet
from devstack.messages import DevstackError
from schemas.settings import SettingsError, load_settings
from schemas.streams.times import to_micros

MAX_WINDOW_US = 31 * 86_400_000_000
"""The longest window the API answers for."""
Number = TypeVar("Number", int, float)


def main(arguments: list[str]) -> int:
    """Run until it is over or a signal comes; prints the truth as JSON; returns the status."""
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
    asyncio.run(_run(options, pace, parsed.api, json_progress=parsed.progress == "json"))
    return 0


async def _run(options: FleetOptions, pace: Pace, api: str | None, *, json_progress: bool) -> None:
    try:
        settings = load_settings()
    except SettingsError as error:
        raise DevstackError(str(error)) from None
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with JsonLines() if json_progress else Lines() as progress:
        fleet, start = await run_fleet(
            options, pace, settings, api_url=api, stop=stop, progress=progress
        )
    end = fleet.now + 1_000_000
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


def parser() -> argparse.ArgumentParser:
    """The fleet's options."""
    parser = argparse.ArgumentParser(
        prog="python -m devstack fleet",
        description=__doc__,
        epilog="Readings never lie ahead of the clock: faster than real time means from the past "
        "up to now. At the end it prints what it knows it sent, as JSON.",
    )
    defaults, pace = FleetOptions(), Pace()
    for name, text in (("meters", "chargers"), ("vehicles", "vehicles")):
        count = getattr(defaults, name)
        parser.add_argument(
            f"--{name}", type=int, default=count, metavar="N", help=f"{text} (default {count})"
        )
    add = parser.add_argument
    add("--seed", type=int, default=defaults.seed, metavar="N", help="equal seeds, equal fleets")
    add("--prefix", default="", help="comes before every device id")
    add(
        "--faults",
        type=_faults,
        default=frozenset(),
        metavar="NAMES",
        help=f"what goes wrong: all, none, or some of {','.join(FAULTS)} (default none)",
    )
    add("--arrays", type=int, default=1, metavar="N", help="gateways send arrays of up to N")
    add("--mixed", action="store_true", help="only every second gateway sends arrays")
    _add_pace(parser, pace)
    add("--api", metavar="URL", help="register the devices and tell of sessions there")
    add("--progress", choices=("text", "json"), default="text", help="json: lines on stdout")
    return parser


def _add_pace(parser: argparse.ArgumentParser, pace: Pace) -> None:
    add = parser.add_argument
    add(
        "--interval-s",
        type=_interval,
        default=pace.interval_s,
        metavar="S",
        help="simulated seconds between two readings of a device (default 60)",
    )
    add(
        "--live-interval-s",
        type=_interval,
        metavar="S",
        help="the same once simulated time has caught up with the clock (default: as before)",
    )
    add(
        "--speed",
        type=_at_least(0.0),
        default=pace.speed,
        metavar="X",
        help="simulated seconds a second until then; 0 = as fast as can be (default 1)",
    )
    add(
        "--backfill-h",
        type=_at_least(0.0),
        metavar="H",
        help="start H hours before the clock (default: what fits --speed and --seconds, else 24)",
    )
    add(
        "--seconds",
        type=_at_least(0.0),
        metavar="S",
        help="how long to run; 0 = until the clock is caught up with (default: until stopped)",
    )
