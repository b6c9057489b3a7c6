"""The options of the benchmarks: which parts, and their sizes, full or quick."""

import argparse
from dataclasses import dataclass, fields
from pathlib import Path

from bench.producing import FORMS
from bench.readings import CLOCKS
from reporting.command import Parser

OUT = Path("out")
LOADS = ("kafka", "copy")


@dataclass(frozen=True)
class Options:
    """The sizes of a run; the defaults are those of the full one."""

    quick: bool = False
    runs: int = 3
    devices: int = 10_000
    """The number of meters, and that of vehicles."""
    minutes: int = 100
    """Readings of each device in a backlog, one a minute."""
    forms: tuple[str, ...] = ()
    """The forms of the backlog; without any, those of the part."""
    clock: str = "millis"
    """The fraction of the timestamps, one of CLOCKS."""
    rates: tuple[int, ...] = (334, 5_000, 20_000)
    """Readings a second, for `live`."""
    seconds: float = 120.0
    """How long each rate is watched."""
    day_devices: int = 10_000
    """The number of meters, and that of vehicles, for the full day of `ask`."""
    load: str = "kafka"
    """How that day gets into PostgreSQL: kafka or copy."""
    out: Path = OUT

    @property
    def first_form(self) -> str:
        """The form of the backlog for a part that measures one form only."""
        return (self.forms or FORMS)[0]


QUICK = Options(quick=True, runs=1, minutes=20, seconds=15.0, day_devices=500)


def parse(
    arguments: list[str] | None, parts: dict[str, str], by_name: tuple[str, ...] = ()
) -> tuple[list[str], Options]:
    """The parts to run and the options; when no part is named, all but those of `by_name`."""
    parser = Parser(
        prog="python -m bench",
        description="Measure the whole path on a real Kafka and a real PostgreSQL.",
        epilog="Parts: "
        + "; ".join(f"{name}: {text}" for name, text in parts.items())
        + ". `python -m bench model` computes what a fleet takes; it has a --help of its own.",
    )
    add = parser.add_argument
    add("parts", nargs="*", metavar="PART", help=f"some of {', '.join(parts)} (default: all)")
    add("--quick", action="store_true", help="small sizes, one run: a look, not a result")
    add("--runs", type=int, metavar="N", help="runs, of which the median counts (3; quick 1)")
    add("--devices", type=int, metavar="N", help="so many meters and as many vehicles (10,000)")
    add("--minutes", type=int, metavar="N", help="readings a device in a backlog (100; quick 20)")
    add("--forms", type=_forms, metavar="NAMES", help=f"some of {','.join(FORMS)} (the part's own)")
    add("--clock", choices=CLOCKS, help="fraction of the timestamps (millis)")
    add("--rates", type=_rates, metavar="N,...", help="live: readings a second (334,5000,20000)")
    add("--seconds", type=float, metavar="S", help="live: how long at each rate (120; quick 15)")
    add(
        "--day-devices", type=int, metavar="N", help="ask: the same for its day (10,000; quick 500)"
    )
    add("--load", choices=LOADS, help="ask: how its day is loaded (kafka)")
    add("--out", type=Path, metavar="DIR", help=f"where bench.json is written ({OUT})")
    given = parser.parse_args(arguments)
    unknown = [part for part in given.parts if part not in parts]
    if unknown:
        parser.error(f"there is no part {unknown[0]}; there are {', '.join(parts)}")
    base = QUICK if given.quick else Options()
    chosen = {
        one.name: getattr(base, one.name)
        if getattr(given, one.name) is None
        else getattr(given, one.name)
        for one in fields(Options)
    }
    return given.parts or [part for part in parts if part not in by_name], Options(**chosen)


def _forms(text: str) -> tuple[str, ...]:
    forms = tuple(text.split(","))
    if not set(forms) <= set(FORMS):
        raise argparse.ArgumentTypeError(f"some of {', '.join(FORMS)}")
    return forms


def _rates(text: str) -> tuple[int, ...]:
    return tuple(int(rate) for rate in text.split(","))
