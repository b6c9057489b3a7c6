"""Replaying rejected readings: what is valid by now is stored, and marked so.

The reading goes straight into PostgreSQL, by the same rules as from Kafka; the books move one
reading from rejected to what it became. The operator's command and the HTTP API both use this.
"""

from typing import Any, NamedTuple

from schemas.streams.decoder import Decoder
from schemas.streams.rejection import REPAIRED, Rejection
from schemas.streams.rescue import Rescue, dropped
from schemas.streams.stream import Row
from schemas.streams.times import ClockLimits
from sql import store
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


def prepare(connection: Connection) -> None:
    """Make a new autocommit connection, opened with SESSION, ready for replays."""
    store.prepare(connection)


def replay(
    connection: Connection,
    rejected_id: int,
    *,
    decoders: dict[str, Decoder],
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
    with connection.transaction(force_rollback=dry_run):
        return _replay(connection, rejected_id, decoders, limits, resolved_by, rescue or Rescue())


def _replay(
    connection: Connection,
    rejected_id: int,
    decoders: dict[str, Decoder],
    limits: ClockLimits,
    resolved_by: str,
    rescue: Rescue,
) -> Replayed:
    queries = load("rejected")
    connection.execute(queries["lock"], {"id": rejected_id})
    found = connection.execute(queries["select_one"], {"id": rejected_id}).fetchone()
    if found is None:
        raise UnknownRejectedError(f"there is no rejected reading {rejected_id}")
    topic, record_index, raw, cut, resolved_at, outcome = found
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
    try:
        with connection.transaction():
            outcome = _store(connection, decoder, row)
    except RowsRefusedError as refused:
        return Replayed(None, "refused", refused.detail)
    if outcome == "conflict":
        return Replayed(None, "conflict", "another reading of that device and time is stored")
    done = {"id": rejected_id, "resolved_by": resolved_by, "outcome": outcome}
    connection.execute(queries["resolve"], {**done, "changed": _changed(rescue, why)})
    connection.execute(queries["move_books"], done)
    return Replayed(outcome, reading=decoder.stream.payload(row))


def _decode(
    decoder: Decoder, raw: bytes, limits: ClockLimits, record_index: int | None
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


def _store(connection: Connection, decoder: Decoder, row: Row) -> str:
    store.create_days(connection, decoder.stream, [store.day_of(row)])
    staged = store.store_staged(connection, decoder.stream, [row])
    if staged.conflicts:
        return "conflict"
    if staged.stored:
        store.move_live(connection, decoder.stream, [row], late=False)
        store.enforce_constraints(connection)
        return "stored"
    return "duplicate"
