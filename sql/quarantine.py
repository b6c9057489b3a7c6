"""Replaying rejected readings: what is valid by now is stored, and marked so.

The reading goes straight into PostgreSQL, by the same rules as from Kafka; the books move one
reading from rejected to what it became. The operator's command and the HTTP API both use this.
"""

from typing import Any, NamedTuple

from schemas.session_events import EventDecoder, event_of
from schemas.streams.decoder import Decoder
from schemas.streams.record_decoder import RecordDecoder
from schemas.streams.rejection import REPAIRED, Rejection
from schemas.streams.rescue import Rescue, dropped
from schemas.streams.stream import Row, Stream
from schemas.streams.times import ClockLimits
from sql import session_events, store
from sql.citus import has_citus
from sql.connect import Connection
from sql.errors import RowsRefusedError, UnknownRejectedError
from sql.named import load

SESSION = {
    "lock_timeout": "10s",
    "transaction_timeout": "30s",
    "idle_in_transaction_session_timeout": "30s",
}
"""What a connection for replays is opened with: one that hangs must not hold the workers up."""


class Replayed(NamedTuple):
    """What became of one rejected reading."""

    outcome: str | None
    """stored or duplicate; None when it is still rejected."""
    reason: str | None = None
    detail: str | None = None
    """Why it is still rejected."""
    reading: dict[str, Any] | None = None
    """What was stored, or would be."""


class _DayMissingError(Exception):
    """A reading's day has to be made beforehand: Citus' nodes cannot tell that it is the owner who
    makes it, and then let nobody else write there in the same transaction.
    """

    def __init__(self, stream: Stream, day: int) -> None:
        self.stream, self.day = stream, day


def prepare(connection: Connection) -> None:
    """Make a new autocommit connection, opened with SESSION, ready for replays."""
    store.prepare(connection)


def replay(
    connection: Connection,
    rejected_id: int,
    *,
    decoders: dict[str, RecordDecoder],
    limits: ClockLimits,
    resolved_by: str,
    rescue: Rescue | None = None,
    dry_run: bool = False,
) -> Replayed:
    """Store one rejected reading if it is valid by now; twice stores once.

    `decoders` are by topic; those for a `rescue` that drops fields salvage. A dry run says what
    would happen and changes nothing. Raises UnknownRejectedError, or psycopg.Error when PostgreSQL
    cannot work.
    """
    asked = rejected_id, decoders, limits, resolved_by, rescue or Rescue()
    try:
        with connection.transaction(force_rollback=dry_run):
            return _replay(connection, *asked)
    except _DayMissingError as missing:
        store.create_days(connection, missing.stream, [missing.day])
    with connection.transaction(force_rollback=dry_run):
        return _replay(connection, *asked)


def _replay(
    connection: Connection,
    rejected_id: int,
    decoders: dict[str, RecordDecoder],
    limits: ClockLimits,
    resolved_by: str,
    rescue: Rescue,
) -> Replayed:
    queries = load("rejected")
    topic, record_index, raw, cut, resolved_at, outcome = _lock(connection, rejected_id, decoders)
    if resolved_at:
        return Replayed(outcome)
    if raw is None:
        return Replayed(None, "not kept", "its bytes were not kept; use replay from Kafka")
    if cut:
        return Replayed(None, "cut", "its bytes were cut; use replay from Kafka")
    if topic not in decoders:
        return Replayed(None, "unknown topic", f"{topic} is not a topic of this deployment")
    decoder = decoders[topic]
    try:
        row, why = _decode(decoder, rescue.apply(decoder.stream, raw), limits, record_index)
    except ValueError as error:
        return Replayed(None, "not changeable", str(error))
    if row is None:
        return Replayed(None, why.reason, why.detail) if why else Replayed(None)
    if isinstance(decoder, Decoder):
        replayed = _store(connection, decoder, row)
    else:
        replayed = _take(connection, rejected_id, row, as_sent=not str(rescue))
    if replayed.outcome is None:
        return replayed
    outcome = replayed.outcome
    done = {"id": rejected_id, "resolved_by": resolved_by, "outcome": outcome}
    connection.execute(queries["resolve"], {**done, "changed": _changed(rescue, why)})
    connection.execute(queries["move_books"], done)
    return Replayed(outcome, reading=decoder.stream.payload(row))


def _lock(
    connection: Connection, rejected_id: int, decoders: dict[str, RecordDecoder]
) -> tuple[Any, ...]:
    """What is kept of a rejected reading, once its position is locked.

    Raises UnknownRejectedError. Who takes session events locks out others before any position.
    """
    query, names = load("rejected")["select_one"], {"id": rejected_id}
    before = connection.execute(query, names).fetchone()
    if before is None:
        raise UnknownRejectedError(f"there is no rejected reading {rejected_id}")
    if isinstance(decoders.get(before[0]), EventDecoder):
        session_events.lock_out_others(connection)
    connection.execute(load("rejected")["lock"], names)
    found: tuple[Any, ...] = connection.execute(query, names).fetchone() or before
    return found


def _decode(
    decoder: RecordDecoder, raw: bytes, limits: ClockLimits, record_index: int | None
) -> tuple[Row | None, Rejection | None]:
    """The row, or why there is none; both when the reading was repaired."""
    if record_index is not None:
        return decoder.read_piece(raw, limits, record_index)
    rows, _, rejections = decoder.decode(raw, limits)
    first = rejections[0] if rejections else None
    if first and first.reason != REPAIRED:
        return None, first
    if len(rows) != 1:
        return None, Rejection(None, "malformed", "a whole record; use replay from Kafka", raw)
    return rows[0], first


def _changed(rescue: Rescue, repaired: Rejection | None) -> str | None:
    """How the reading differs from what is stored."""
    more = [name for name in repaired.dropped if name not in rescue.drop] if repaired else []
    return ", ".join(filter(None, [str(rescue), *map(dropped, more)])) or None


def _store(connection: Connection, decoder: Decoder, row: Row) -> Replayed:
    """Store a reading, if PostgreSQL takes it and no other one is there."""
    try:
        with connection.transaction():
            outcome = _insert(connection, decoder, row)
    except RowsRefusedError as refused:
        return Replayed(None, "refused", store.fault_of(connection, decoder.stream, row, refused))
    if outcome == "conflict":
        return Replayed(None, "conflict", "another reading of that device and time is stored")
    return Replayed(outcome)


def _take(connection: Connection, rejected_id: int, row: Row, *, as_sent: bool) -> Replayed:
    """Take a session event as if it came now; `as_sent`: it may wait for another one."""
    event = event_of(row)
    store.enforce_constraints(connection)
    (verdict,) = session_events.take(connection, [event], careful=True, besides=rejected_id)
    if verdict.outcome:
        session_events.wait_no_longer(connection, rejected_id)
    elif as_sent:
        origin = session_events.origin(connection, rejected_id)
        session_events.wait(connection, [(origin, event, verdict)])
    return Replayed(verdict.outcome, verdict.reason or None, verdict.detail or None)


def _insert(connection: Connection, decoder: Decoder, row: Row) -> str:
    day = store.day_of(row)
    made = store.ensure_day(connection, decoder.stream, day).how in ("created", "attached")
    if made and has_citus(connection):
        raise _DayMissingError(decoder.stream, day)
    staged = store.store_staged(connection, decoder.stream, [row])
    if staged.conflicts:
        return "conflict"
    if staged.stored:
        store.move_live(connection, decoder.stream, [row], late=False)
        store.enforce_constraints(connection)
        return "stored"
    return "duplicate"
