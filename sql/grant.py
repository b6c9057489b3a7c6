"""Who may do what in the database: rights of roles that do not own the tables.

A worker, the API and an analyst each get what their statements need, and nothing else; RIGHTS is
the one place that says it. `grant` brings a role's rights to just that and remembers the role, so
that migrations can give it what new tables need, and `flaws` can tell what is missing or too much.
The owner alone changes tables, makes keys and changes history. What only an owner can do, that is
to make and to drop the tables of days, the others do by functions that check what is asked for.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from psycopg import sql

from schemas.streams import STREAMS
from sql import locks
from sql.connect import Connection
from sql.errors import GrantError
from sql.named import load

Rights = Mapping[str, tuple[str, ...]]
"""By table: the privileges on it, as GRANT takes them."""
HISTORIES = tuple(stream.history_table for stream in STREAMS.values())
LIVE_STATES = tuple(stream.live_table for stream in STREAMS.values())
DEVICES = ("meters", "vehicles")
CORRECTED = tuple(f"{stream.name}_corrected_readings" for stream in STREAMS.values())
SUMS = ("vehicle_hours", "vehicle_days", "charger_hours")
FOR_ANALYSTS = (
    *DEVICES,
    *HISTORIES,
    *LIVE_STATES,
    *CORRECTED,
    *SUMS,
    "alerts",
    "charging_sessions",
    "corrected_stretches",
    "corrections",
    "ingest_offsets",
    "register_exchanges",
    "retired_days",
)
READ_BY_ALL_PROCESSES = (
    *FOR_ANALYSTS,
    "alert_deliveries",
    "alert_events",
    "alert_targets",
    "database_identity",
    "granted_roles",
    "housekeeping_duties",
    "packed_days",
    "position_changes",
    "rejected_overflow",
    "rejected_records",
    "rollup_log",
    "rollup_state",
    "schema_migrations",
    "session_events",
    "sessions_to_judge",
    "waiting_session_events",
)
RESOLVE = "UPDATE (resolved_at, resolved_by, changed, outcome)"
TAKE_SESSION_EVENTS: Rights = {
    "rejected_records": ("UPDATE (reason, detail)",),
    "session_events": ("INSERT",),
    "waiting_session_events": ("INSERT", "UPDATE", "DELETE"),
}
RIGHTS: Mapping[str, tuple[Rights, ...]] = {
    "worker": (
        dict.fromkeys(READ_BY_ALL_PROCESSES, ("SELECT",)),
        TAKE_SESSION_EVENTS,
        dict.fromkeys(HISTORIES, ("INSERT", "MAINTAIN")),
        dict.fromkeys(LIVE_STATES, ("INSERT", "UPDATE")),
        dict.fromkeys(DEVICES, ("UPDATE (updated_at)",)),  # to lock a session's devices takes one
        dict.fromkeys(SUMS, ("INSERT", "UPDATE", "DELETE")),
        dict.fromkeys(("ingest_offsets", "housekeeping_duties"), ("INSERT", "UPDATE")),
        dict.fromkeys(("packed_days", "rejected_overflow", "rollup_state"), ("INSERT", "UPDATE")),
        {
            "charging_sessions": ("INSERT", "UPDATE (ended_at, timed_out, meter_stop)"),
            "position_changes": ("INSERT",),
            "rejected_records": ("INSERT", RESOLVE),
            "retired_days": ("INSERT", "UPDATE (announced)", "DELETE"),
            "rollup_log": ("INSERT", "UPDATE (first)", "DELETE"),
            "sessions_to_judge": ("INSERT",),
        },
    ),
    "api": (
        dict.fromkeys(READ_BY_ALL_PROCESSES, ("SELECT",)),
        TAKE_SESSION_EVENTS,
        dict.fromkeys((*DEVICES, "charging_sessions"), ("INSERT", "UPDATE")),
        dict.fromkeys(("api_keys",), ("SELECT",)),
        dict.fromkeys(("alerts",), ("INSERT", "UPDATE")),
        dict.fromkeys(("alert_events",), ("INSERT",)),
        dict.fromkeys(
            ("alert_deliveries", "alert_targets", "sessions_to_judge"),
            ("INSERT", "UPDATE", "DELETE"),
        ),
        dict.fromkeys(
            ("api_sign_ins", "corrected_stretches", "register_exchanges", *CORRECTED),
            ("SELECT", "INSERT", "DELETE"),
        ),
        # The replay of rejected readings:
        dict.fromkeys((*HISTORIES, "rollup_log"), ("INSERT",)),
        dict.fromkeys(LIVE_STATES, ("INSERT", "UPDATE")),
        {
            "corrections": ("INSERT", "UPDATE (undone_at, undone_by)"),
            "ingest_offsets": ("UPDATE (stored, duplicate, rejected)",),
            "rejected_records": (RESOLVE,),
        },
    ),
    "reader": (dict.fromkeys(FOR_ANALYSTS, ("SELECT",)),),
}
"""On tables, by what a role is for; what is on a history table is also on its partitions."""
ENSURE_DAYS = ("ensure_day_partition", "create_day_partition")
FUNCTIONS: Mapping[str, tuple[str, ...]] = {
    "worker": (*ENSURE_DAYS, "detach_day", "drop_day", "drop_half_built"),
    "api": ENSURE_DAYS,
    "reader": (),
}
"""The functions that run with the owner's rights, of which PUBLIC may call none."""
OF_TRIGGERS = ("mark_changed_session",)
"""Functions of triggers that run with the owner's rights: nobody calls them."""
ON_DATABASE: Mapping[str, tuple[str, ...]] = {
    "worker": ("CONNECT", "TEMPORARY"),
    "api": ("CONNECT", "TEMPORARY"),
    "reader": ("CONNECT",),
}
KINDS = tuple(RIGHTS)
QUERIES = load("rights")
PUBLIC = "PUBLIC"


class Change(NamedTuple):
    """One thing by which a role's rights differ from what they should be."""

    action: str
    """GRANT or REVOKE."""
    privilege: str
    kind: str
    """What the privilege is on: TABLE, SEQUENCE, FUNCTION, SCHEMA or DATABASE."""
    name: str
    """As SQL: quoted where need be."""
    ours: bool
    """Whether we may make the change."""

    def __str__(self) -> str:
        which = "lacks" if self.action == "GRANT" else "should not have"
        return f"{which} {self.privilege} on {self.kind.lower()} {self.name}"


def grant(connection: Connection, roles: Mapping[str, str], *, revoke: bool = True) -> None:
    """Give roles just the rights they need; `roles` are by what they are for, one of KINDS.

    Without `revoke` they keep what they have beside: where the schema is newer than this code, it
    does not know what newer processes need. Wants autocommit and the owner's connection.

    Raises GrantError for a role that is not there or from which no right could be kept, before
    anything is changed; and for what is not ours to give, once all else is given.
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (locks.MIGRATION,))
        for kind, role in roles.items():
            _check(connection, role)
            connection.execute(QUERIES["remember"], {"kind": kind, "role": role})
        left = _make_right(connection, revoke=revoke)
    if left:
        raise GrantError(f"{left[0]}, which is for its owner to change")


def grant_again(connection: Connection, *, revoke: bool = True) -> None:
    """Give every role that was granted rights before what it needs by now, as far as we may.

    The functions that run with the owner's rights are taken along when the tables were moved.
    """
    if connection.execute(QUERIES["can_remember"]).fetchone() is None:
        return
    with connection.transaction():
        _pin(connection)
        connection.execute(QUERIES["forget_dropped"])
        _make_right(connection, revoke=revoke)


def flaws(connection: Connection) -> list[str]:
    """What roles that were granted rights lack by now, and what they have too much; a line each."""
    lines: list[str] = []
    if connection.execute(QUERIES["can_remember"]).fetchone() is None:
        return lines
    for role, kinds in _remembered(connection):
        who = f"{role} ({', '.join(kinds)})"
        why = _unsuitable(connection, role) if kinds else None
        if why:
            lines.append(f"{who} {why}")
        else:
            lines += [f"{who} {change}" for change in _changes(connection, role, kinds)]
    return lines


def _pin(connection: Connection) -> None:
    """Have the functions that run with the owner's rights find our tables where they are by now."""
    functions = {"functions": [*_functions(KINDS)["functions"], *OF_TRIGGERS]}
    for function, schema in connection.execute(QUERIES["unpinned"], functions).fetchall():
        path = f"SECURITY DEFINER SET search_path = {schema}, pg_temp"
        connection.execute(f"ALTER FUNCTION {function} {path}".encode())


def _make_right(connection: Connection, *, revoke: bool) -> list[str]:
    """Make the changes that are ours to make; returns the others."""
    left = []
    for role, kinds in _remembered(connection):
        for change in _changes(connection, role, kinds):
            if change.action == "REVOKE" and not revoke:
                continue
            if not change.ours:
                left.append(f"{role} {change}")
                continue
            towards = "TO" if change.action == "GRANT" else "FROM"
            text = f"{change.action} {change.privilege} ON {change.kind} {change.name} {towards} "
            whom = sql.SQL(PUBLIC) if role == PUBLIC and not kinds else sql.Identifier(role)
            connection.execute(sql.SQL(text) + whom)  # its names are quoted
    return left


def _check(connection: Connection, role: str) -> None:
    if why := _unsuitable(connection, role):
        raise GrantError(f"{role} {why}")


def _unsuitable(connection: Connection, role: str) -> str | None:
    """Why a role can have no rights of its own; None when it can."""
    found = connection.execute(QUERIES["role"], {"role": role}).fetchone()
    if found is None:
        return "is no role: make it by CREATE ROLE ... LOGIN"
    superuser, member, acts_as = found
    if superuser:
        return "is a superuser: no right can be kept from it"
    if member:
        return "owns the tables, or is a member of the role that does: no right can be kept from it"
    if acts_as:
        return f"acts as another role (ALTER ROLE ... SET {acts_as}): then workers end no lock"
    return None


def _remembered(connection: Connection) -> Iterable[tuple[str, list[str]]]:
    """Every role that was granted rights, and as what; before them PUBLIC, which gets none."""
    found = connection.execute(QUERIES["remembered"]).fetchall()
    return [(PUBLIC, []), *found] if found else []


def _changes(connection: Connection, role: str, kinds: list[str]) -> list[Change]:
    if not kinds:
        return [Change(*row) for row in connection.execute(QUERIES["public"], _functions(KINDS))]
    tables = sorted(
        {
            (table, privilege)
            for kind in kinds
            for rights in RIGHTS[kind]
            for table, privileges in rights.items()
            for privilege in privileges
        }
    )
    wanted = _functions(kinds) | {
        "role": role,
        "tables": [table for table, _ in tables],
        "privileges": [privilege for _, privilege in tables],
        "on_database": sorted({privilege for kind in kinds for privilege in ON_DATABASE[kind]}),
    }
    return [Change(*row) for row in connection.execute(QUERIES["changes"], wanted).fetchall()]


def _functions(kinds: Iterable[str]) -> dict[str, list[str]]:
    return {"functions": sorted({name for kind in kinds for name in FUNCTIONS[kind]})}
