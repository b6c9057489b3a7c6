"""`rejected list|show|replay`: rejected readings, why they are, their bytes, and a second try."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

from ingest_worker.operator import operator
from reporting.applications import Application
from reporting.command import print_json, say
from reporting.progress import Progress
from reporting.tables import to_the_second
from schemas.rejected import Rejected, RejectedDetail
from schemas.settings import Settings
from schemas.streams.rescue import Rescue, as_sent
from schemas.text import printable
from sql import quarantine
from sql.connect import connect, conninfo
from sql.errors import UnknownRejectedError
from sql.named import load

QUERIES = load("rejected")
MAX_DETAIL_CHARACTERS = 100


def list_rejected(settings: Settings, filters: dict[str, Any], *, as_json: bool) -> None:
    """Print one line a rejected reading, newest first; or a list as the API gives it.

    `filters`: reason, topic, device_id, since, until, resolved (None = any) and limit.
    """
    with _connect(settings) as connection:
        rows = connection.execute(QUERIES["page"], filters | {"after": None}).fetchall()
        only_counted = connection.execute(QUERIES["overflow"]).fetchall()
    for row in only_counted:
        say(
            f"only counted, since the quarantine was full: {row['topic']}-{row['partition']}:"
            f" {row['readings']:,} {row['reason']}, offsets {row['first_offset']} to"
            f" {row['last_offset']}"
        )
    if as_json:
        print_json([Rejected.model_validate(row).model_dump(by_alias=True) for row in rows])
        return
    print(f"{'id':>8}  {'rejected at':<20}  {'where':<32}  {'device':<16}  {'reason':<10}  detail")
    for row in rows:
        where = f"{row['topic']}-{row['partition']}@{row['offset']}"
        if row["record_index"] is not None:
            where += f"[{row['record_index']}]"
        outcome = f"  ({row['outcome']} by {row['resolved_by']})" if row["resolved_at"] else ""
        print(
            f"{row['id']:>8}  {to_the_second(row['rejected_at']):<20}  {where:<32}"
            f"  {row['device_id'] or '-':<16}  {row['reason']:<10}"
            f"  {row['detail'][:MAX_DETAIL_CHARACTERS]}{outcome}"
        )


def show_rejected(settings: Settings, rejected_id: int, *, as_json: bool) -> None:
    """Print everything known of one rejected reading. Raises UnknownRejectedError."""
    with _connect(settings) as connection:
        row = connection.execute(QUERIES["show"], {"id": rejected_id}).fetchone()
    if row is None:
        raise UnknownRejectedError(f"there is no rejected reading {rejected_id}")
    if as_json:
        print_json(RejectedDetail.of_row(row).model_dump(by_alias=True))
        return
    raw, size = row.pop("raw"), row.pop("raw_bytes")
    for name, value in row.items():
        if value is not None:
            print(
                f"{name + ':':<14}{to_the_second(value) if isinstance(value, datetime) else value}"
            )
    if raw is None:
        print("raw:          not kept; Kafka has it at that offset")
    else:
        cut = size is not None and size > len(raw)
        print(f"raw:          {f'the first {len(raw)} of {size}' if cut else len(raw)} bytes")
        print(printable(raw))


def replay_rejected(
    settings: Settings,
    rejected_id: int | None,
    filters: dict[str, Any],
    *,
    rescue: Rescue,
    dry_run: bool,
) -> bool:
    """Replay one rejected reading, or all unresolved ones that match; print what became of them.

    A dry run also prints what would be stored of each. True when all of them are stored by now.
    Raises UnknownRejectedError.
    """
    decoders = settings.decoders(drop=rescue.drop)
    who = operator()
    outcomes: Counter[str] = Counter()
    where = conninfo(settings, Application.REJECTED)
    with connect(where, quarantine.SESSION) as connection:
        quarantine.prepare(connection)
        ids = [rejected_id] if rejected_id is not None else _open_ids(connection, filters)
        progress = Progress("replaying rejected readings", len(ids))
        for one in ids:
            replayed = quarantine.replay(
                connection,
                one,
                decoders=decoders,
                limits=settings.clock_limits(datetime.now(UTC)),
                resolved_by=who,
                rescue=rescue,
                dry_run=dry_run,
            )
            outcomes[replayed.outcome or f"still rejected: {replayed.reason}"] += 1
            if dry_run:
                print(f"{one}: {_would_be(replayed)}")
            elif rejected_id is not None and replayed.detail:
                print(replayed.detail)
            progress.advance(1)
        progress.close()
    for outcome, count in sorted(outcomes.items()):
        print(f"{'would be ' if dry_run else ''}{outcome}: {count}")
    return set(outcomes) <= {"stored", "duplicate"}


def _would_be(replayed: quarantine.Replayed) -> str:
    """What a dry run says of one reading."""
    if replayed.reading is None:
        said = [replayed.outcome or f"still rejected: {replayed.reason}", replayed.detail]
        return ": ".join(filter(None, said))
    return f"{replayed.outcome}: {as_sent(replayed.reading)}"


def _open_ids(connection: psycopg.Connection[Any], filters: dict[str, Any]) -> list[int]:
    return [row[0] for row in connection.execute(QUERIES["select_open"], filters)]


def _connect(settings: Settings) -> psycopg.Connection[dict[str, Any]]:
    return connect(conninfo(settings, Application.REJECTED), row_factory=dict_row)
