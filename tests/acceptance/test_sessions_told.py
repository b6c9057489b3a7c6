"""Session events over Kafka end as exactly the sessions that chargers tell of.

Several partitions, two workers of which one is killed, a third of all events repeated: whatever
order that makes, the sessions are those of the truth, and what is none is rejected with a reason.
"""

from tests.connections import connect
from tests.told import assert_told, register_all, send, tell, with_sessions
from tests.workers import WorkerProcess, command, counted, wait_until


def test_sessions_are_what_chargers_say_in_any_order_and_number(
    own_environment: dict[str, str],
) -> None:
    told = tell(1, chargers=10, hours=12)
    environment = with_sessions(own_environment) | {"BATCH_SIZE": "40"}
    register_all(environment, told)
    send(environment, told.sent, seed=2)
    with WorkerProcess(environment) as first, WorkerProcess(environment) as second:
        wait_until(lambda: counted(environment)["read"] > len(told.sent) / 4, "some are read")
        first.kill()
        with WorkerProcess(environment) as third:
            wait_until(lambda: counted(environment)["read"] >= len(told.sent), "all are read")
            assert_told(environment, told)
            with connect(environment) as database:
                for one in told.unknown.values():
                    database.execute("INSERT INTO meters (meter_id) VALUES (%s)", [one.meter])
            topic = environment["KAFKA_SESSION_TOPIC"]
            words = ("rejected", "replay", "--reason", "invalid", "--topic", topic)
            assert command(environment, "ingest_worker", *words).returncode == 1
            assert_told(environment, told, registered=True)
            again = ("replay", "--topic", topic, "--from", "2026-01-01")
            done = command(environment, "ingest_worker", *again)
            assert done.returncode == 0, done.stderr
            assert third.terminate() == 0
        assert second.terminate() == 0
    total = counted(environment)
    assert total["read"] == 2 * len(told.sent)
    told.sent *= 2
    with connect(environment) as database:
        stored = database.execute("SELECT count(*) FROM session_events").fetchone()
    assert stored == (total["stored"],)
