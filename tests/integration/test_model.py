"""The sink against a plain Python model of what it promises.

Hypothesis plays random sequences: records are produced, two owners flush the same partitions, each
with its own memory of what it knows, connections die between any two steps of a flush or right
after COMMIT, positions are set back. After every step PostgreSQL holds exactly what the model says.
"""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from aiokafka import TopicPartition
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from ingest_worker.errors import FencedError
from ingest_worker.write.batch import Batch
from ingest_worker.write.sink import Sink
from tests.connections import connect
from tests.sinks import Record, new_batch, new_sink

PARTITIONS = [TopicPartition("meters", number) for number in range(2)]
REFUSED_KWH = 13
LAST_STEP = 30
MAX_EXAMPLES, MAX_EXAMPLES_LONG = 25, 500

READINGS = st.tuples(
    st.sampled_from("ABC"), st.integers(0, 5), st.sampled_from([1, 2, REFUSED_KWH])
) | st.just(None)
RECORDS = st.lists(READINGS, min_size=1, max_size=4)


def encode(readings: list[Any]) -> bytes:
    """A record of these readings; None stands for one that is no reading."""
    values = [
        None
        if reading is None
        else {
            "meterId": reading[0],
            "timestamp": f"2026-01-30T12:00:0{reading[1]}Z",
            "kwhConsumedAc": reading[2],
            "voltage": 230,
        }
        for reading in readings
    ]
    return json.dumps(values).encode()


@dataclass
class Model:
    """What must be in PostgreSQL."""

    positions: dict[TopicPartition, int] = field(
        default_factory=lambda: dict.fromkeys(PARTITIONS, 0)
    )
    history: dict[tuple[str, int], int] = field(default_factory=dict)
    rejected: dict[tuple[int, int, int], str] = field(default_factory=dict)
    books: dict[TopicPartition, Counter[str]] = field(
        default_factory=lambda: {partition: Counter() for partition in PARTITIONS}
    )

    def read(self, partition: TopicPartition, offset: int, readings: list[Any]) -> None:
        """One record becomes what it becomes."""
        for index, reading in enumerate(readings):
            outcome = self._outcome((partition.partition, offset, index), reading)
            self.books[partition].update([outcome, "read"])
        self.positions[partition] = offset + 1

    def _outcome(self, place: tuple[int, int, int], reading: Any) -> str:
        reason = None
        if reading is None:
            reason = "invalid"
        else:
            key, kwh = reading[:2], reading[2]
            stored = self.history.get(key)
            if kwh == REFUSED_KWH:
                reason = "refused"
            elif stored is None:
                self.history[key] = kwh
                return "stored"
            elif stored != kwh:
                reason = "conflict"
        if reason is None or place in self.rejected:
            return "duplicate"
        self.rejected[place] = reason
        return "rejected"


class Crash(psycopg.OperationalError):
    """The connection died under a flush."""


class Owner:
    """A worker in miniature: a sink and the positions it believes in."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.sink: Sink = new_sink(environment)
        self.positions: dict[TopicPartition, int] = {}

    def take(self) -> None:
        """Read the positions again."""
        taken = self.sink.take(dict.fromkeys(PARTITIONS, 0))
        self.positions = {partition: position.next_offset for partition, position in taken.items()}

    @contextmanager
    def crashing(self, step: int | None) -> Iterator[None]:
        """Lose the connection before the given statement of whatever runs inside."""
        connection = self.sink._connect()
        steps = iter(range(LAST_STEP + 1))

        class CrashingCursor(psycopg.Cursor[Any]):
            def execute(self, *arguments: Any, **options: Any) -> Any:
                if next(steps) == step:
                    connection.close()
                    raise Crash("died")
                return super().execute(*arguments, **options)

            @contextmanager
            def copy(self, *arguments: Any, **options: Any) -> Iterator[Any]:
                with super().copy(*arguments, **options) as copy:
                    yield copy
                    if next(steps) == step:
                        connection.close()
                        raise Crash("died in the middle of COPY")

        usual = connection.cursor_factory
        if step is not None:
            connection.cursor_factory = CrashingCursor
        try:
            yield
        finally:
            connection.cursor_factory = usual


class SinkAgainstModel(RuleBasedStateMachine):
    """The rules of the game."""

    environment: dict[str, str]
    database: psycopg.Connection[Any]

    @initialize()
    def start(self) -> None:
        self.database.execute(
            "TRUNCATE meter_telemetry_history, meter_live_state, rejected_records, ingest_offsets"
        )
        self.model = Model()
        self.log: dict[TopicPartition, list[list[Any]]] = {p: [] for p in PARTITIONS}
        self.owners = [Owner(self.environment) for _ in range(2)]
        for owner in self.owners:
            owner.take()

    @rule(partition=st.sampled_from(PARTITIONS), records=st.lists(RECORDS, max_size=4))
    def produce(self, partition: TopicPartition, records: list[list[Any]]) -> None:
        self.log[partition] += records

    @rule(
        number=st.integers(0, 1),
        most=st.integers(1, 5),
        partitions=st.lists(st.sampled_from(PARTITIONS), min_size=1, unique=True),
        crash_before=st.none() | st.integers(0, LAST_STEP),
        answer_lost=st.booleans(),
        retry=st.booleans(),
    )
    def flush(
        self,
        number: int,
        most: int,
        partitions: list[TopicPartition],
        crash_before: int | None,
        answer_lost: bool,
        retry: bool,
    ) -> None:
        owner = self.owners[number]
        batch = self._batch(owner, partitions, most)
        if not batch.parts:
            return
        stale = any(self.model.positions[p.partition] != p.start for p in batch.parts.values())
        try:
            with owner.crashing(crash_before):
                owner.sink.flush(list(batch.parts.values()))
        except Crash:
            if not retry:
                owner.take()
            return
        except FencedError:
            assert stale, "fenced without a reason"
            owner.take()
            return
        assert not stale, "a batch from elsewhere was written"
        for part in batch.parts.values():
            for offset in range(part.start, part.end):
                self.model.read(part.partition, offset, self.log[part.partition][offset])
            owner.positions[part.partition] = part.end
        if answer_lost:
            owner.sink._connect().close()
            owner.take()

    @rule(partition=st.sampled_from(PARTITIONS), back=st.integers(1, 6))
    def set_back(self, partition: TopicPartition, back: int) -> None:
        position = max(0, self.model.positions[partition] - back)
        self.database.execute(
            "UPDATE ingest_offsets SET next_offset = %s WHERE partition = %s",
            (position, partition.partition),
        )
        self.model.positions[partition] = position

    @invariant()
    def postgresql_holds_what_the_model_says(self) -> None:
        if not hasattr(self, "model"):
            return
        rows = self._rows("SELECT meter_id, {second}, kwh_consumed_ac FROM meter_telemetry_history")
        assert {(i, s): kwh for i, s, kwh in rows} == self.model.history
        assert len(rows) == len(self.model.history)
        live = self._rows("SELECT meter_id, {second}, kwh_consumed_ac FROM meter_live_state")
        newest = {
            device: max(s for d, s in self.model.history if d == device)
            for device, _ in self.model.history
        }
        assert live == sorted((d, s, self.model.history[d, s]) for d, s in newest.items())
        rejected = self._rows(
            'SELECT partition, "offset", record_index, reason FROM rejected_records'
        )
        assert {row[:3]: row[3] for row in rejected} == self.model.rejected
        books = self._rows(
            "SELECT partition, next_offset, read, stored, duplicate, rejected FROM ingest_offsets"
        )
        names = ("read", "stored", "duplicate", "rejected")
        assert books == [
            (p.partition, self.model.positions[p], *(self.model.books[p][name] for name in names))
            for p in PARTITIONS
        ]

    def teardown(self) -> None:
        for owner in getattr(self, "owners", ()):
            owner.sink.close()

    def _batch(self, owner: Owner, partitions: list[TopicPartition], most: int) -> Batch:
        batch = new_batch()
        for partition in partitions:
            start = owner.positions[partition]
            values = self.log[partition][start : start + most]
            records = [Record(start + n, encode(value)) for n, value in enumerate(values)]
            if records:
                batch.add(partition, start, records)
        return batch

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        second = """extract(second FROM "timestamp")::int"""
        return sorted(self.database.execute(query.replace("{second}", second).encode()).fetchall())


@pytest.fixture
def machine(own_environment: dict[str, str]) -> Iterator[type[SinkAgainstModel]]:
    with connect(own_environment) as database:
        database.execute(
            "ALTER TABLE meter_telemetry_history ADD CONSTRAINT operators"
            f" CHECK (kwh_consumed_ac <> {REFUSED_KWH})"
        )
        SinkAgainstModel.environment = own_environment
        SinkAgainstModel.database = database
        yield SinkAgainstModel


def test_the_sink_does_what_the_model_does(
    machine: type[SinkAgainstModel], pytestconfig: pytest.Config
) -> None:
    long = bool(pytestconfig.getoption("--long", False))
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=MAX_EXAMPLES_LONG if long else MAX_EXAMPLES,
            stateful_step_count=20,
            deadline=None,
            derandomize=not long,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        ),
    )
