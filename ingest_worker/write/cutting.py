"""Cutting a part short where its first reading lies that cannot be stored now."""

from collections.abc import Collection
from dataclasses import replace

from ingest_worker.write.batch import Part
from schemas.streams.stream import TIME
from schemas.streams.times import DAY_US


def cut_before(part: Part, days: Collection[int]) -> Part | None:
    """The records of a part before the first that has a reading of these days; None without any.

    Days count from 2000-01-01. Returns the part itself when it has no such reading.
    """
    places = (place for place, row in enumerate(part.rows) if row[TIME] // DAY_US in days)
    row = next(places, None)
    if row is None:
        return part
    at, _ = part.origin(row)
    number = part.records.index(at)
    rejected = [entry for entry in part.rejected if entry[0].offset < at.offset]
    before = part.records[:number] + [record for record, _ in rejected]
    if not before:
        return None
    last = max(before, key=lambda record: record.offset)
    return replace(
        part,
        end=last.offset + 1,
        rows=part.rows[: part.first_rows[number]],
        records=part.records[:number],
        first_rows=part.first_rows[:number],
        places={n: places for n, places in part.places.items() if n < number},
        rejected=rejected,
        repaired={n: one for n, one in part.repaired.items() if n < part.first_rows[number]},
        last=last,
    )
