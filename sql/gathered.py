"""Readings of a Citus cluster, gathered where the statements that make figures run.

On a cluster histories are spread over nodes, and devices, sessions and corrections are on the
coordinator; Citus does not plan what joins them. So the few readings that such a statement looks at
are brought there first, into a temporary table of the connection, and then the same statement reads
these. On plain PostgreSQL nothing is gathered: there it reads the histories.

All of it is one transaction, in which what was gathered stays:

    gather(connection, {METER: [Span("MTR-1", start, past)]}, bounds)
    connection.execute(statements(connection, "meter")["meter"], parameters)
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from psycopg import AsyncConnection, Connection, sql

from schemas.streams.stream import Stream
from sql.citus import has_citus
from sql.named import Statements, load

QUERIES = load("gathered")
ALL = 2**31 - 1
BEFORE = 14
AFTER = 13
"""The most readings before and after a span that a statement looks at."""
FEW = 100
"""Of so many devices only the shards that have them are asked."""

Spans = Mapping[Stream, Sequence["Span"]]
Bounds = Mapping[str, Any]
Step = tuple[sql.SQL, Any]


class Span(NamedTuple):
    """A stretch of a device's time, [first, past)."""

    device: str
    first: datetime
    past: datetime


def statements(connection: Connection[Any] | AsyncConnection[Any], file: str) -> Statements:
    """The statements of a file, for this connection: those that read what was gathered, or not."""
    return load(file, gathered=has_citus(connection))


def gather(connection: Connection[Any], spans: Spans, bounds: Bounds, **most: int) -> None:
    """Gather readings for the statements to come, where that is needed; `gathering` says which."""
    if has_citus(connection):
        for statement, parameters in gathering(spans, bounds, **most):
            connection.execute(statement, parameters)


def gathering(
    spans: Spans,
    bounds: Bounds,
    *,
    before: int = BEFORE,
    within: int = ALL,
    after: int = AFTER,
    hours: int = 0,
) -> Iterator[Step]:
    """What is to be executed so that at most so many readings of each span are gathered.

    `hours`: one of each hour that has any. `bounds` are `base_start`, `start`, `end` and
    `reach_end`, as statements have them.
    """
    wanted = {"before": before, "within": within, "after": after, "hours": hours}
    yield QUERIES["begin"], None
    for stream, of_stream in spans.items():
        for where, most in wanted.items():
            if of_stream and most:
                parameters = {**bounds, "most": most, **_columns(of_stream)}
                yield QUERIES[f"{stream.name}_{where}"], parameters
    yield QUERIES["end"], None


def _columns(spans: Sequence[Span]) -> dict[str, Any]:
    devices, firsts, pasts = zip(*spans, strict=True)
    few = sorted(set(devices))
    return {
        "devices": list(devices),
        "firsts": list(firsts),
        "pasts": list(pasts),
        "few": few if len(few) <= FEW else None,
    }
