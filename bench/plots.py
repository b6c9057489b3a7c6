"""The plots of the README and the docs, drawn from what the parts returned."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.options import Options
from bench.report import Parts, measured
from bench.svg import Bar, chart

IMAGES = Path("docs/img")

SPEED = [
    ("psql \\copy", "drain.median.copy.readings_s"),
    ("arrays of 50", "drain.median.arrays.readings_s"),
    ("one reading a record", "drain.median.single.readings_s"),
]
AGAIN = [
    ("psql \\copy", "again.median.copy.readings_s"),
    ("one in ten a duplicate", "again.median.tenth.readings_s"),
    ("all duplicates", "again.median.all.readings_s"),
]
SCALE = [(f"{n} worker{'s' * (n > 1)}", f"scale.median.{n}.readings_s") for n in (1, 2, 3)]
ASKED = [
    ("cold, 1 client", "ask.quiet.cold"),
    ("warm, 1 client", "ask.quiet.one"),
    ("warm, 16 clients", "ask.quiet.many"),
    ("1 client, 5,000 readings/s in", "ask.busy.one"),
    ("16 clients, 5,000 readings/s in", "ask.busy.many"),
]


def draw(parts: Parts, out: Path) -> list[Path]:
    """Draw the plots of these parts; those of a run that is not full go to `out`, not to IMAGES."""
    drawn = []
    for name, title, unit, bars in _plots(parts):
        if not bars:
            continue
        directory = IMAGES if is_full(parts[name]) else out
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{name}.svg"
        path.write_text(chart(title, unit, bars, _note(name, parts[name])), encoding="utf-8")
        drawn.append(path)
    return drawn


def is_full(part: dict[str, Any]) -> bool:
    """Whether a part was measured with the sizes of `make bench`."""
    full, sizes = (
        json.loads(json.dumps(one, default=str)) | {"out": ""}
        for one in (asdict(Options()), part["options"])
    )
    return bool(sizes == full)


def _plots(parts: Parts) -> list[tuple[str, str, str, list[Bar]]]:
    title = "Readings from Kafka stored in PostgreSQL, one worker"
    return [
        ("drain", title, "/s", _rates(parts, SPEED)),
        ("again", "Readings that may be stored already, one worker", "/s", _rates(parts, AGAIN)),
        ("scale", "The same backlog with more workers", "/s", _rates(parts, SCALE)),
        ("live", "From produce to visible in a query", "ms", _ages(parts)),
        ("ask", "A vehicle's performance over 24 hours", "ms", _latencies(parts)),
    ]


def _rates(parts: Parts, wanted: list[tuple[str, str]]) -> list[Bar]:
    found = [(label, measured(parts, path)) for label, path in wanted]
    return [Bar(label, value) for label, value in found if value is not None]


def _ages(parts: Parts) -> list[Bar]:
    rates = parts.get("live", {}).get("rates", {})
    return [
        Bar(f"{int(rate):,} readings/s", figures[f"{series}_ms"], series)
        for rate, figures in rates.items()
        for series in ("p50", "p99")
    ]


def _latencies(parts: Parts) -> list[Bar]:
    bars = []
    for label, path in ASKED:
        for series in ("p50", "p99"):
            value = measured(parts, f"{path}.{series}_ms")
            if value is not None:
                bars.append(Bar(label, value, series))
    return bars


def _note(name: str, part: dict[str, Any]) -> str:
    about = part["machine"]
    return (
        f"python -m bench {name}, {about['date'][:10]}: {about['cores']} cores ({about['cpu']}), "
        f"PostgreSQL {about['postgresql']}, Kafka {about['kafka']}, all on one machine"
    )
