"""Taking session events: workers do so with those from Kafka, a replay with one that was rejected.

Chargers say what they have to say over several partitions, and several workers read these: an end
may come before its start, and a start before the end of the session before it. Such an event is
rejected, with a reason, and waits: the event that it needs takes it along, in the same transaction.
So in the end sessions are what chargers said, in whatever order it came.
"""

from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from schemas.session_events import Event
from schemas.text import one_line
from sql import locks
from sql.connect import Connection
from sql.event_verdicts import Verdict, rows_of_events
from sql.told_sessions import QUERIES, ToldSessions

Origin = tuple[str, int, int, int | None, int]
"""Topic, partition, offset, place in the record and Kafka's own time of a rejected event."""


@dataclass(eq=False)
class _Said:
    """One event on its way to a verdict."""

    event: Event
    rejected_id: int | None = None
    """Of one that has been waiting."""
    blocked_by: UUID | None = None
    blocked_before: UUID | None = None
    """As it stands in the database."""
    verdict: Verdict | None = None


def lock_out_others(connection: Connection) -> None:
    """Be the only one that takes session events until the transaction ends.

    It comes before any position is locked: those of waiting events are locked later.
    """
    connection.execute(QUERIES["lock"], {"lock": locks.SESSION_EVENTS})


def take(
    connection: Connection,
    events: Sequence[Event],
    *,
    careful: bool = False,
    besides: int | None = None,
) -> list[Verdict]:
    """Make sessions of these events, which come in this order, and of what waited for them.

    Returns what became of each. Wants `lock_out_others`. `besides` is the id of a rejected record
    that is taken, so does not wait. Raises RowsRefusedError unless `careful`, SerializationFailure.
    """
    waiting = _waiting(connection, events, besides)
    said = [_Said(event) for event in events]
    told = ToldSessions(connection, (one.event for one in [*said, *waiting]), careful=careful)
    _Taking(told, waiting).run(said)
    _note(connection, waiting)
    return [one.verdict for one in said if one.verdict]


def wait(connection: Connection, events: Iterable[tuple[Origin, Event, Verdict]]) -> None:
    """Keep what waits of these rejected events."""
    rows = [
        (
            *origin,
            verdict.session_id,
            event.time,
            event.meter_kwh,
            event.transaction_id,
            event.name,
            event.meter_id,
            event.vehicle_id,
            event.connector_id,
        )
        for origin, event, verdict in events
        if verdict.waits
    ]
    if rows:
        names = (
            "topics",
            "partitions",
            "offsets",
            "record_indexes",
            "record_ms",
            "blocked_by",
            "micros",
            "meter_kwh",
            "transaction_ids",
            "events",
            "meter_ids",
            "vehicle_ids",
            "connector_ids",
        )
        columns = map(list, zip(*rows, strict=True))
        connection.execute(QUERIES["wait"], dict(zip(names, columns, strict=True)))


def wait_no_longer(connection: Connection, rejected_id: int) -> None:
    """Forget that a rejected event waits: it is stored by now."""
    connection.execute(QUERIES["wait_no_longer"], {"ids": [rejected_id]})


def origin(connection: Connection, rejected_id: int) -> Origin:
    """Where a rejected event came from."""
    found = connection.execute(QUERIES["origin"], {"id": rejected_id}).fetchone()
    assert found is not None
    topic, partition, offset, place, record_ms = found
    return topic, partition, offset, place, record_ms


class _Taking:
    """The order in which events are taken: as they came, and what waited once it may be freed."""

    def __init__(self, told: ToldSessions, waiting: Iterable[_Said]) -> None:
        self._told = told
        self._parked: dict[str | UUID, list[_Said]] = defaultdict(list)
        """What waits, by its transaction and by the session that is in its way."""
        for one in waiting:
            self._park(one)

    def run(self, said: Iterable[_Said]) -> None:
        """Give each of these a verdict, and those that wait another one where that may differ."""
        queue = deque(said)
        while queue:
            one = queue.popleft()
            one.verdict = (
                self._start(one) if one.event.name == "start" else self._told.end(one.event)
            )
            freed = self._freed_by(one, one.verdict)
            if one.verdict.waits:
                one.blocked_by = one.verdict.session_id
                self._park(one)
            queue.extendleft(reversed(freed))

    def _start(self, one: _Said) -> Verdict:
        """Start a session; where its end waits already, that makes it shorter."""
        start = one.event
        ends = (
            other
            for other in self._parked[start.transaction_id]
            if other.event.name == "end" and other.event.time >= start.time
        )
        end = next(ends, None)
        verdict = self._told.start(start, end.event if end else None)
        if end and verdict.outcome == "stored":
            end.verdict = verdict
            self._unpark(end)
        return verdict

    def _freed_by(self, one: _Said, verdict: Verdict) -> list[_Said]:
        """What is to be tried again since this was stored, or since a start's end is known now."""
        same = list(self._parked[one.event.transaction_id])
        if verdict.outcome == "stored":
            ended = self._parked[verdict.session_id] if verdict.session_id else []
            freed = same + [other for other in ended if other not in same]
        elif verdict.waits and one.event.name == "end":
            freed = [other for other in same if other.event.name == "start"]
        else:
            return []
        for other in freed:
            self._unpark(other)
        return freed

    def _park(self, one: _Said) -> None:
        self._parked[one.event.transaction_id].append(one)
        if one.blocked_by:
            self._parked[one.blocked_by].append(one)

    def _unpark(self, one: _Said) -> None:
        self._parked[one.event.transaction_id].remove(one)
        if one.blocked_by:
            self._parked[one.blocked_by].remove(one)


def _waiting(connection: Connection, events: Iterable[Event], besides: int | None) -> list[_Said]:
    """What may be freed by these events, and by what they free."""
    found: dict[int, _Said] = {}
    fresh = list(events)
    while fresh:
        transactions = {"transactions": sorted({event.transaction_id for event in fresh})}
        sessions = connection.execute(QUERIES["sessions"], transactions).fetchall()
        names: dict[str, Any] = {
            **transactions,
            "sessions": [session[1] for session in sessions],
            "known": [*found, *([] if besides is None else [besides])],
        }
        rows = connection.execute(QUERIES["waiting"], names).fetchall()
        more = {
            rejected_id: _Said(event, rejected_id, blocked_by, blocked_by)
            for (rejected_id, blocked_by), event in rows_of_events(rows)
        }
        found |= more
        fresh = [one.event for one in more.values()]
    return [found[rejected_id] for rejected_id in sorted(found)]


def _note(connection: Connection, waiting: Collection[_Said]) -> None:
    """Resolve what waited and is stored now; note why the others that were tried are not."""
    tried = {one.rejected_id: one.verdict for one in waiting if one.verdict}
    freed = {id_: verdict.outcome for id_, verdict in tried.items() if verdict.outcome}
    still = {
        one.rejected_id
        for one in waiting
        if one.verdict and one.verdict.waits and one.blocked_by == one.blocked_before is not None
    }
    told = {id_: one for id_, one in tried.items() if id_ not in freed and id_ not in still}
    if told:
        reasons = [verdict.reason for verdict in told.values()]
        details = [one_line(verdict.detail) for verdict in told.values()]
        names: dict[str, list[Any]] = {"ids": list(told), "reasons": reasons, "details": details}
        connection.execute(QUERIES["retell"], names)
        blocked = {id_: one.session_id for id_, one in told.items() if one.waits}
        names = {"ids": list(blocked), "blocked_by": list(blocked.values())}
        connection.execute(QUERIES["block"], names)
        done = {"ids": [id_ for id_ in told if id_ not in blocked]}
        connection.execute(QUERIES["wait_no_longer"], done)
    if freed:
        outcomes = {"ids": list(freed), "outcomes": list(freed.values())}
        connection.execute(QUERIES["free"], outcomes)
