"""Three ways to write the readings of one stream, from the fastest to the most careful.

`write_new` copies the rows that are newer than their device's newest known time and stages the
rest. When the key or a constraint objects, `write_any` stages everything, and when one objects
again, `write_piecewise` leaves out the rows that PostgreSQL refuses. Each joins the caller's
transaction, which is rolled back in between.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from ingest_worker.write.batch import Refusal
from ingest_worker.write.newest_known import NewestKnown
from schemas.streams.stream import DEVICE, ENERGY, TIME, Row, Stream
from schemas.streams.times import DAY_US
from sql import store
from sql.citus import has_citus
from sql.connect import Connection
from sql.errors import RowsRefusedError, RowsSwallowedError
from sql.rollup_log import log_changes

FEW = 64
"""As many rows are tried one by one on the nodes of a cluster, at a millisecond or two each."""


class Written(NamedTuple):
    """What became of the rows of one stream, by place; all others are stored."""

    duplicates: list[int]
    rejected: dict[int, Refusal]


def write_new(
    connection: Connection,
    stream: Stream,
    rows: Sequence[Row],
    newest_known: NewestKnown,
    *,
    partitions: Mapping[int, store.DayPartition],
) -> Written:
    """Copy the rows that are newer than anything known of their device, stage the rest.

    `partitions` has the one of each day, counted from 2000-01-01. Raises RowsRefusedError when a
    row was not new or is refused, UndefinedTable when a day partition is gone.
    """

    def look_up(ids: Iterable[str]) -> dict[str, int]:
        return store.newest_known(connection, stream, ids)

    by_device, others = newest_known.split(rows, look_up)
    new = [by_device[device_id] for device_id in sorted(by_device) if by_device[device_id]]
    if new:
        _copy(connection, stream, new, partitions)
    written, late = _stage(connection, stream, rows, others)
    newest = [device_rows[-1] for device_rows in new]
    if late:
        # Of a device that has late rows the order matters: live state may yield to one of them.
        devices = {rows[place][DEVICE] for place in late}
        not_stored = {*others}.difference(late)
        newest = [row for row in newest if row[DEVICE] not in devices]
        newest += [
            row
            for place, row in enumerate(rows)
            if row[DEVICE] in devices and place not in not_stored
        ]
    overtaken = store.move_live(connection, stream, newest, late=bool(late))
    if overtaken:  # others have stored what is newer, unseen by us
        behind = [device_rows for device_rows in new if device_rows[0][DEVICE] in overtaken]
        log_changes(connection, stream, behind, late=True)
        new = [device_rows for device_rows in new if device_rows[0][DEVICE] not in overtaken]
    log_changes(connection, stream, new, late=False)
    return written


def _copy(
    connection: Connection,
    stream: Stream,
    new: list[list[Row]],
    partitions: Mapping[int, store.DayPartition],
) -> None:
    """COPY rows, by device and each device's in order of time, into their days."""
    first = min(device_rows[0][TIME] for device_rows in new) // DAY_US
    last = max(device_rows[-1][TIME] for device_rows in new) // DAY_US
    rows = list(chain.from_iterable(new))
    if first == last:
        store.copy_rows(connection, stream, partitions[first], rows)
        return
    by_day: dict[int, list[Row]] = {}
    for row in rows:
        by_day.setdefault(store.day_of(row), []).append(row)
    for day, day_rows in sorted(by_day.items()):
        store.copy_rows(connection, stream, partitions[day], day_rows)


def write_any(
    connection: Connection, stream: Stream, rows: Sequence[Row], newest_known: NewestKnown
) -> Written:
    """Stage every row. What is known of the devices was wrong, and is forgotten."""
    newest_known.forget()
    written, stored = _stage(connection, stream, rows, range(len(rows)))
    store.move_live(connection, stream, [rows[place] for place in stored], late=True)
    return written


def write_piecewise(
    connection: Connection, stream: Stream, rows: Sequence[Row], newest_known: NewestKnown
) -> Written:
    """Reject the rows that PostgreSQL refuses or swallows, and just those; store the others.

    PostgreSQL first tries each row by itself; if it then refuses rows only together with others,
    they are halved until the refused ones stand alone. The nodes of a cluster, where each row is
    far away, are given them together first, and few by themselves.
    """
    newest_known.forget()
    store.enforce_constraints(connection)
    written = Written([], {})
    pending: list[Sequence[int]] = [range(len(rows))]
    if not has_citus(connection):
        pending = [_accepted(connection, stream, rows, pending.pop(), written)]
    while pending:
        places = pending.pop()
        try:
            with connection.transaction():
                store.empty_staging(connection, stream)
                piece, stored = _stage(connection, stream, rows, places)
                store.move_live(connection, stream, [rows[place] for place in stored], late=True)
        except RowsSwallowedError as swallowed:
            gone = {places[seq] for seq in swallowed.places}
            written.rejected.update(dict.fromkeys(gone, Refusal("refused", swallowed.detail)))
            pending.append([place for place in places if place not in gone])
        except RowsRefusedError as refused:
            pending += _parted(connection, stream, rows, places, written, refused)
        else:
            written.duplicates.extend(piece.duplicates)
            written.rejected.update(piece.rejected)
    return written


def _parted(
    connection: Connection,
    stream: Stream,
    rows: Sequence[Row],
    places: Sequence[int],
    written: Written,
    refused: RowsRefusedError,
) -> list[Sequence[int]]:
    """What to write next of rows that are refused together; some may be rejected now."""
    if has_citus(connection) and len(places) <= FEW:
        accepted = _accepted(connection, stream, rows, places, written)
        if len(accepted) < len(places):
            return [accepted]
    if len(places) > 1:
        return store.halves(places)
    why = store.fault_of(connection, stream, rows[places[0]], refused)
    written.rejected[places[0]] = Refusal("refused", why)
    return []


def _accepted(
    connection: Connection,
    stream: Stream,
    rows: Sequence[Row],
    places: Sequence[int],
    written: Written,
) -> list[int]:
    """Reject those of the rows at these places that PostgreSQL refuses; returns the others."""
    refused = _refused(connection, stream, [rows[place] for place in places])
    for number, detail in refused.items():
        written.rejected[places[number]] = Refusal("refused", detail)
    return [place for number, place in enumerate(places) if number not in refused]


def _refused(connection: Connection, stream: Stream, rows: Sequence[Row]) -> dict[int, str]:
    """Which of these rows PostgreSQL refuses, each by itself, and why."""
    try:
        with connection.transaction():
            return store.refused_of(connection, stream, rows)
    except RowsRefusedError:  # some of them cannot even be handed over
        refused = store.unstageable(connection, stream, rows)
        rest = [place for place in range(len(rows)) if place not in refused]
        of_rest = store.refused_of(connection, stream, [rows[place] for place in rest])
        return refused | {rest[seq]: detail for seq, detail in of_rest.items()}


def _stage(
    connection: Connection, stream: Stream, rows: Sequence[Row], places: Sequence[int]
) -> tuple[Written, list[int]]:
    """Store what is new of the rows at these places; returns the places of it, too."""
    if not places:
        return Written([], {}), []
    staged_rows = [rows[place] for place in places]
    staged = store.store_staged(connection, stream, staged_rows)
    told_apart = {*staged.stored, *staged.conflicts}
    written = Written(
        [place for seq, place in enumerate(places) if seq not in told_apart],
        {
            places[seq]: Refusal(
                "conflict", _describe(stream, stored), stored[ENERGY] == staged_rows[seq][ENERGY]
            )
            for seq, stored in staged.conflicts.items()
        },
    )
    return written, [places[seq] for seq in staged.stored]


def _describe(stream: Stream, stored: tuple[Any, ...]) -> str:
    values = zip(stream.row_fields, stored, strict=True)
    return "stored already with " + ", ".join(
        f"{field.name} {_shown(value)}" for field, value in values
    )


def _shown(value: float | None) -> str:
    return "null" if value is None else f"{value:g}"
