"""The spans of a flush, and what they say of it.

A flush has one span, each try of one of its transactions one below it, and that has those of its
steps: copy, stage, live, commit. The records' own spans are linked, where a producer named them: of
each partition only that of the first record, since there may be many thousands.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager

from ingest_worker.errors import FencedError, InDoubtError
from ingest_worker.write.batch import Batch, Part
from ingest_worker.write.lane import Outcome
from reporting.tracing import NOTHING, Attributes, Kind, Span, is_on, span

OUTCOMES = {FencedError: "fenced", InDoubtError: "dropped"}
TRACEPARENT = "traceparent"


def flush_span(batch: Batch) -> AbstractContextManager[Span]:
    """The span of one flush."""
    if not is_on():
        return NOTHING
    parts = batch.parts.values()
    attributes: Attributes = {
        "messaging.system": "kafka",
        "messaging.batch.message_count": sum(part.end - part.start for part in parts),
        "energy.flush.cause": batch.cause,
        "energy.flush.readings": batch.readings,
        "energy.flush.bytes": batch.bytes,
        "energy.flush.partitions": [f"{topic}-{number}" for topic, number in sorted(batch.parts)],
    }
    return span("flush", attributes, kind=Kind.CONSUMER, links=_first_of(parts))


def note_outcome(flush: Span, errors: Sequence[BaseException], *, held_back: int) -> None:
    """Say what became of it: written, held_back (a rest waits), fenced, dropped or failed."""
    if errors:
        outcome = OUTCOMES.get(type(errors[0]), "failed")
    else:
        outcome = "held_back" if held_back else "written"
    flush.note({"energy.flush.outcome": outcome})


def transaction_span(parts: Sequence[Part]) -> AbstractContextManager[Span]:
    """The span of one try of a transaction."""
    if not is_on():
        return NOTHING
    attributes: Attributes = {
        "db.system.name": "postgresql",
        "energy.streams": sorted({part.stream.name for part in parts}),
        "energy.flush.readings": sum(part.readings for part in parts),
    }
    return span("transaction", attributes, kind=Kind.CLIENT)


def note_outcomes(transaction: Span, outcomes: Mapping[str, Outcome]) -> None:
    """Say what became of its readings."""
    counts = outcomes.values()
    transaction.note(
        {
            "energy.stored": sum(one.stored for one in counts),
            "energy.duplicate": sum(one.duplicate for one in counts),
            "energy.rejected": sum(one.rejected.total() for one in counts),
        }
    )


def _first_of(parts: Iterable[Part]) -> Iterator[str]:
    for part in parts:
        for name, value in getattr(part.first, "headers", ()):
            if name == TRACEPARENT and value:
                yield value.decode("latin-1")
