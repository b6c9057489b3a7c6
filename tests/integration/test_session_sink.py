"""Session events against a real PostgreSQL: which sessions they make, in any order."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from ingest_worker.errors import FencedError
from schemas.session_events import event_of
from schemas.streams.rescue import Rescue
from schemas.streams.times import SECOND_US
from sql import quarantine, session_events
from sql.errors import SessionsLockedError
from sql.told_sessions import ToldSessions
from tests.api_process import ApiProcess
from tests.connections import connect, waiting_for_locks
from tests.readings import array_value, iso
from tests.session_events import Session, Topic, at, end, register, sessions, start
from tests.settings import settings_of
from tests.workers import wait_until


@pytest.fixture
def topic(environment: dict[str, str]) -> Iterator[Topic]:
    """A topic in the module's database, from which everything is taken again."""
    with connect(environment) as database:
        register(database, 4)
        topic = Topic(environment, database)
        yield topic
        topic.balances()
        topic.sink.close()
        database.execute("TRUNCATE meters, vehicles, rejected_records, ingest_offsets CASCADE")
        database.execute("TRUNCATE session_events, waiting_session_events, rollup_log")


def test_a_session_starts_and_ends_once_however_often_it_is_said(topic: Topic) -> None:
    started = start("T", "M0", "V0", 0, meterStart=5, connectorId="1", unknown=[1])
    ended = end("T", 9, meterStop=-0.0)
    assert topic.send(started, array_value(started, ended), ended) == (2, 2, Counter())
    assert sessions(topic.database) == [Session("T", "M0", "V0", 0, 9, 5, 0)]
    assert topic.send(ended, started, partition=1) == (0, 2, Counter())
    others = (start("T", "M0", "V0", 0), start("T", "M1", "V0", 0), end("T", 9))
    assert topic.send(*others, end("U", 1), start("W", "M9", "V0", 1), start("X", "M0", "V9", 1))[
        2
    ] == {"conflict": 3, "invalid": 3}
    (id_,) = topic.database.execute("SELECT session_id FROM charging_sessions").fetchall()[0]
    assert topic.rejected() == [
        (
            "conflict",
            f"transaction T: session {id_} started already at {iso(at(0))},"
            " meter M0, vehicle V0, connector 1, kWh 5.0",
        ),
        (
            "conflict",
            f"transaction T: session {id_} started already at {iso(at(0))},"
            " meter M0, vehicle V0, connector 1, kWh 5.0",
        ),
        ("conflict", f"transaction T: session {id_} ended already at {iso(at(9))}, kWh 0.0"),
        ("invalid", "transaction U: no start with this transactionId is known yet"),
        ("invalid", "transaction W: meter M9 is not registered"),
        ("invalid", "transaction X: vehicle V9 is not registered"),
    ]


def test_what_comes_too_early_is_taken_with_what_it_needs(topic: Topic) -> None:
    """An end before its start; a start before the end of the one before, or behind a later one."""
    assert topic.send(end("A", 10), end("A", 10), end("A", 11))[2] == {"invalid": 3}
    assert topic.send(start("B", "M0", "V0", 20), partition=1)[0] == 1
    assert topic.send(start("A", "M0", "V0", 0), partition=1)[0] == 1
    assert topic.send(start("D", "M0", "V1", 60), start("C", "M0", "V0", 40))[2] == {"conflict": 2}
    assert topic.send(end("C", 50))[2] == {"invalid": 1}
    assert topic.send(end("B", 30), partition=1)[0] == 1
    assert sessions(topic.database) == [
        Session("A", "M0", "V0", 0, 10),
        Session("B", "M0", "V0", 20, 30),
        Session("C", "M0", "V0", 40, 50),
        Session("D", "M0", "V1", 60),
    ]
    resolved = topic.database.execute(
        "SELECT outcome, resolved_by FROM rejected_records WHERE resolved_at IS NOT NULL ORDER BY 1"
    ).fetchall()
    assert Counter(resolved) == {("stored", "another event"): 4, ("duplicate", "another event"): 1}
    assert [reason for reason, _ in topic.rejected()] == ["conflict"]
    assert topic.rejected()[0][1].startswith("transaction A: session")


def test_all_of_it_may_come_in_one_flush_and_in_any_order(topic: Topic) -> None:
    told = [
        end("A", 10),
        start("C", "M0", "V1", 25),
        end("C", 35),
        start("B", "M1", "V1", 5),
        start("A", "M0", "V0", 0),
        end("B", 20),
        start("E", "M0", "V0", 40),
        start("D", "M0", "V2", 36),
        end("D", 39),
    ]
    assert topic.send(*told, *told[::-1]) == (9, 9, Counter())
    back_to_back = [start("F", "M3", "V3", 0), start("G", "M3", "V3", 5), end("F", 5)]
    assert topic.send(*back_to_back) == (3, 0, Counter())
    assert sessions(topic.database) == [
        Session("A", "M0", "V0", 0, 10),
        Session("B", "M1", "V1", 5, 20),
        Session("C", "M0", "V1", 25, 35),
        Session("D", "M0", "V2", 36, 39),
        Session("E", "M0", "V0", 40),
        Session("F", "M3", "V3", 0, 5),
        Session("G", "M3", "V3", 5),
    ]


def test_who_takes_events_sees_all_that_others_took(topic: Topic) -> None:
    """An end that comes while its start is on its way cannot miss it."""
    with ThreadPoolExecutor(1) as other, topic.database.transaction():
        session_events.lock_out_others(topic.database)
        taking = other.submit(topic.send, end("T", 5))
        wait_until(lambda: waiting_for_locks(topic.environment), "it waits for its turn")
        early = event_of(topic.parts(start("T", "M0", "V0", 0))[0].rows[0])
        (verdict,) = session_events.take(topic.database, [early])
    assert (verdict.outcome, taking.result()[0]) == ("stored", 1)
    topic.database.execute(
        "UPDATE ingest_offsets SET read = read + 1, stored = stored + 1 WHERE partition = 0"
    )


def test_two_chargers_that_claim_one_vehicle(topic: Topic) -> None:
    """The first one has it; the other's session is no session, and says which one is in its way."""
    topic.send(start("A", "M0", "V0", 0), start("B", "M1", "V0", 5), end("B", 8), end("A", 10))
    assert sessions(topic.database) == [Session("A", "M0", "V0", 0, 10)]
    (id_,) = topic.database.execute("SELECT session_id FROM charging_sessions").fetchall()[0]
    assert topic.rejected() == [
        ("conflict", f"transaction B: vehicle V0 is in session {id_} from {iso(at(0))} on"),
        ("invalid", "transaction B: no start with this transactionId is known yet"),
    ]
    topic.send(start("C", "M1", "V0", 6))
    assert topic.rejected()[-1][0] == "conflict"


def test_all_ends_may_come_after_all_starts_and_no_start_is_tried_in_vain(
    topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[str] = []
    write = ToldSessions._write

    def counted(told: ToldSessions, query: str, values: dict[str, Any]) -> Any:
        writes.append(query)
        return write(told, query, values)

    monkeypatch.setattr(ToldSessions, "_write", counted)
    count = 30
    topic.send(*(start(f"T{n}", "M0", f"V{n % 2}", n * 10) for n in range(count)))
    topic.send(*(end(f"T{n}", n * 10 + 10) for n in range(count)), partition=1)
    ends = sorted(one.end or 0 for one in sessions(topic.database))
    assert ends == [n * 10 + 10 for n in range(count)]
    assert Counter(writes) == Counter(start=count, end=count)
    topic.balances()


def test_sessions_that_came_over_http_and_idle_ones(topic: Topic) -> None:
    topic.database.execute(
        "INSERT INTO charging_sessions (transaction_id, meter_id, vehicle_id, started_at, ended_at,"
        " timed_out, meter_start, meter_stop) VALUES ('A', 'M0', 'V0', %s, NULL, false, 1, NULL),"
        " ('B', 'M1', 'V1', %s, %s, false, NULL, 3), ('C', 'M2', 'V2', %s, %s, true, NULL, NULL),"
        " ('D', 'M3', 'V3', %s, %s, true, NULL, NULL), (NULL, 'M3', 'V3', %s, NULL, false, 1, 1)",
        [at(0), at(0), at(9), at(0), at(5), at(0), at(5), at(8)],
    )
    repeated = [start("A", "M0", "V0", 0, meterStart=1), start("B", "M1", "V1", 0)]
    assert topic.send(*repeated, end("B", 9, meterStop=3)) == (0, 3, Counter())
    assert topic.send(start("A", "M0", "V0", 0), end("B", 9))[2] == {"conflict": 2}
    assert topic.send(end("A", 9), end("C", 7, meterStop=2)) == (2, 0, Counter())
    assert topic.send(end("D", 9), end("C", 1))[2] == {"conflict": 2}
    assert sessions(topic.database)[:4] == [
        Session("A", "M0", "V0", 0, 9, 1),
        Session("B", "M1", "V1", 0, 9, None, 3),
        Session("C", "M2", "V2", 0, 7, None, 2),
        Session("D", "M3", "V3", 0, 5),
    ]
    assert topic.send(end("D", 8)) == (1, 0, Counter())
    (reasons,) = topic.database.execute(
        "SELECT array_agg(end_reason ORDER BY transaction_id) FROM charging_sessions"
    ).fetchone() or ((),)
    assert reasons == ["ended", "ended", "ended", "ended", None]


def test_poison_is_rejected_by_itself(topic: Topic) -> None:
    """A constraint, a trigger at the transaction's end, and one that swallows."""
    topic.database.execute("""
        ALTER TABLE charging_sessions ADD CONSTRAINT operators CHECK (transaction_id <> 'A');
        CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.transaction_id = 'B' THEN RAISE EXCEPTION 'not this one'; END IF; RETURN NULL;
        END $$;
        CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            RETURN CASE WHEN NEW.transaction_id <> 'C' THEN NEW END;
        END $$;
        CREATE CONSTRAINT TRIGGER late AFTER INSERT ON charging_sessions
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late();
        CREATE TRIGGER swallow BEFORE INSERT ON charging_sessions
            FOR EACH ROW EXECUTE FUNCTION swallow();
    """)
    starts = [start(t, f"M{n}", f"V{n}", 0) for n, t in enumerate("ABCD")]
    assert topic.send(b"junk", *starts, end("D", -1))[2] == {
        "malformed": 1,
        "refused": 3,
        "invalid": 1,
    }
    assert sessions(topic.database) == [Session("D", "M3", "V3", 0)]
    assert "before the start" in topic.rejected()[-1][1]
    topic.database.execute("""
        ALTER TABLE charging_sessions DROP CONSTRAINT operators;
        DROP FUNCTION late CASCADE;
        DROP FUNCTION swallow CASCADE;
    """)


def test_a_fenced_flush_does_nothing_and_a_locked_device_holds_up_no_other_topic(
    topic: Topic,
) -> None:
    parts = topic.parts(start("A", "M0", "V0", 0))
    topic.database.execute("UPDATE ingest_offsets SET next_offset = 5")
    with pytest.raises(FencedError):
        topic.sink.flush(parts)
    topic.database.execute("UPDATE ingest_offsets SET next_offset = 0")
    with topic.database.transaction():
        topic.database.execute("SELECT FROM vehicles WHERE vehicle_id = 'V0' FOR NO KEY UPDATE")
        with ThreadPoolExecutor(1) as other, pytest.raises(SessionsLockedError):
            other.submit(topic.sink.flush, parts).result()
    assert sessions(topic.database) == []
    assert topic.sink.flush(parts)[topic.name].stored == 1


def test_a_rejected_event_is_replayed_and_takes_along_what_waits_for_it(topic: Topic) -> None:
    topic.send(start("T", "NEW", "V0", 0), end("T", 5), end("T", 5), b"junk")
    rows = topic.database.execute("SELECT id FROM rejected_records WHERE detail LIKE '%NEW%'")
    ((unknown,),) = rows.fetchall()
    with ApiProcess(topic.environment | {"KAFKA_SESSION_TOPIC": topic.name}) as api:
        url = f"/v1/telemetry/rejected/{unknown}/replay"
        assert api.http.post(url).status_code == 409
        topic.database.execute("INSERT INTO meters (meter_id) VALUES ('NEW')")
        assert api.http.post(url).json()["outcome"] == "stored"
        assert api.http.post(url).json()["outcome"] == "stored"
        (books,) = api.http.get("/v1/telemetry/stats").json()["topics"][2:]
    assert (books["topic"], books["stored"], books["duplicate"]) == (topic.name, 2, 1)
    assert books["rejected"] == {"total": 1, "byReason": {"malformed": 1}}
    assert sessions(topic.database) == [Session("T", "NEW", "V0", 0, 5)]


def test_a_replay_may_change_an_event_and_a_dry_run_changes_nothing(topic: Topic) -> None:
    topic.send(start("A", "M0", "V0", 0), end("A", 9), start("B", "M0", "V1", 5))
    ((rejected_id,),) = topic.database.execute("SELECT id FROM rejected_records").fetchall()
    settings = settings_of(topic.environment | {"KAFKA_SESSION_TOPIC": topic.name})
    rescue = Rescue(shift_us=300 * SECOND_US)
    quarantine.prepare(topic.database)

    def replay(rescue: Rescue, *, dry_run: bool = False) -> quarantine.Replayed:
        return quarantine.replay(
            topic.database,
            rejected_id,
            decoders=settings.decoders(),
            limits=settings.clock_limits(datetime.now(UTC)),
            resolved_by="me",
            rescue=rescue,
            dry_run=dry_run,
        )

    assert replay(Rescue()).reason == "conflict"
    assert replay(rescue, dry_run=True).outcome == "stored"
    assert len(sessions(topic.database)) == 1
    assert replay(rescue).outcome == "stored"
    assert replay(rescue).outcome == "stored"
    assert sessions(topic.database)[1:] == [Session("B", "M0", "V1", 10)]
    assert topic.database.execute("SELECT count(*) FROM waiting_session_events").fetchone() == (0,)
