"""Two fleets on one Kafka and one PostgreSQL server share nothing, though device ids are the same.

Each has a group, topics and a database of its own, as docs/tenants.md says, and no line of code.
"""

import asyncio

import psycopg
import pytest
from psycopg import sql

from sql import locks
from tests.api_process import ApiProcess
from tests.conftest import empty_environment, fresh_environment
from tests.connections import connect
from tests.kafka import group_offsets, send
from tests.keys import bearer, make_key
from tests.probes import metric, reasons
from tests.readings import meter_value
from tests.rights import PASSWORD
from tests.truth import Expected, all_read, assert_holds, produce
from tests.workers import WorkerProcess, command, counted, wait_until

Fleet = dict[str, str]
"""The environment of one fleet's processes."""
TAKEOVERS = "energy_ingest_takeovers_total"


@pytest.fixture
def fleets(services: dict[str, str]) -> tuple[Fleet, Fleet]:
    return fresh_environment(services), fresh_environment(services)


def of_its_own(services: dict[str, str]) -> Fleet:
    """A fleet whose roles are nobody else's: what docs/tenants.md has an administrator do."""
    fleet = empty_environment(services)
    name = fleet["DB_DATABASE"]
    roles = {kind: f"{name}_{kind}" for kind in ("owner", "worker", "api", "reader")}
    with connect(fleet) as connection:
        for role in roles.values():
            made = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
            connection.execute(made.format(sql.Identifier(role), sql.Literal(PASSWORD)))
        named = {"name": sql.Identifier(name), "owner": sql.Identifier(roles["owner"])}
        for statement in (
            sql.SQL("ALTER DATABASE {name} OWNER TO {owner}"),
            sql.SQL("REVOKE CONNECT, TEMPORARY ON DATABASE {name} FROM PUBLIC"),
        ):
            connection.execute(statement.format(**named))
    owner = as_role(fleet, "owner")
    granted = (f"--{kind}={roles[kind]}" for kind in ("worker", "api", "reader"))
    for words in (("migrate",), ("grant", *granted)):
        done = command(owner, "sql", *words)
        assert done.returncode == 0, done.stderr
    return as_role(fleet, "worker")


def as_role(fleet: Fleet, kind: str) -> Fleet:
    return fleet | {"DB_USERNAME": f"{fleet['DB_DATABASE']}_{kind}", "DB_PASSWORD": PASSWORD}


def topics(fleet: Fleet) -> set[str]:
    return {fleet["KAFKA_METER_TOPIC"], fleet["KAFKA_VEHICLE_TOPIC"]}


def house_kept(fleet: Fleet) -> bool:
    """Whether a worker of the fleet has done a duty of housekeeping."""
    with connect(fleet) as connection:
        done = connection.execute(
            "SELECT FROM housekeeping_duties WHERE last_success_at IS NOT NULL"
        )
    return done.rowcount > 0


def test_each_becomes_what_was_sent_to_it_though_a_worker_of_one_is_killed(
    fleets: tuple[Fleet, Fleet],
) -> None:
    north, south = (fleet | {"BATCH_SIZE": "1000"} for fleet in fleets)
    sent: list[tuple[Fleet, dict[str, Expected]]] = []
    with (
        WorkerProcess(north) as first,
        WorkerProcess(north) as second,
        WorkerProcess(south) as other,
    ):
        for worker in (first, second, other):
            wait_until(lambda w=worker: not reasons(w), "it is ready")  # type: ignore[misc]
        wait_until(lambda: house_kept(south), "the south's house is kept")
        before = metric(other, TAKEOVERS)
        for fleet in (south, north):
            sent.append((fleet, asyncio.run(produce(fleet, 10_000, seed=len(sent)))))
        first.kill()
        for fleet, expected in sent:
            wait_until(lambda f=fleet, e=expected: all_read(f, e), "all is read")  # type: ignore[misc]
        assert metric(other, TAKEOVERS) == before, "the death in the north disturbed the south"
        for fleet, _ in sent:
            assert {partition.topic for partition in group_offsets(fleet)} == topics(fleet)
    for fleet, expected in sent:
        assert_holds(fleet, expected)


def test_what_one_locks_does_not_keep_the_other_waiting(fleets: tuple[Fleet, Fleet]) -> None:
    north, south = fleets
    with connect(north) as holder:
        assert locks.try_lock(holder, locks.HOUSEKEEPING)
        with WorkerProcess(north), WorkerProcess(south):
            wait_until(lambda: house_kept(south), "the south's house is kept")
            assert not house_kept(north)
            holder.execute("SELECT pg_advisory_unlock_all()")
            wait_until(lambda: house_kept(north), "the north's house is kept")


def test_neither_lets_the_others_roles_or_keys_in(services: dict[str, str]) -> None:
    north, south = of_its_own(services), of_its_own(services)
    for fleet, kwh in ((north, 1.5), (south, 2.5)):
        send(fleet, meter_value("MTR-1", kwh=kwh))
    with WorkerProcess(north), WorkerProcess(south):
        for fleet in (north, south):
            wait_until(lambda f=fleet: counted(f)["stored"] == 1, "it is stored")  # type: ignore[misc]
    for fleet, other, kwh in ((north, south, 1.5), (south, north, 2.5)):
        key, foreign = (make_key(as_role(one, "owner"), "analyst") for one in (fleet, other))
        demanding = as_role(fleet, "api") | {"APP_AUTH": "keys"}
        with ApiProcess(demanding) as api:
            path = "/v1/devices/meters/MTR-1/state"
            assert api.http.get(path, headers=bearer(foreign)).status_code == 401
            assert api.http.get(path, headers=bearer(key)).json()["kwhConsumedAc"] == kwh
            stats = api.http.get("/v1/telemetry/stats", headers=bearer(key)).json()
            assert {one["topic"] for one in stats["topics"]} == topics(fleet)
        for kind in ("owner", "worker", "api", "reader"):
            astray = as_role(fleet, kind) | {"DB_DATABASE": other["DB_DATABASE"]}
            with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                connect(astray)
