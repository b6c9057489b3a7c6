"""Code beside a schema that is newer or older than it: what runs, what waits, what is refused."""

import pytest

from tests.api_process import ApiProcess
from tests.connections import connect
from tests.kafka import send
from tests.readings import meter_value
from tests.workers import WorkerProcess, command, counted, wait_until

LATER = "9999_later.sql"


def apply_later(environment: dict[str, str], oldest_code: str | None) -> None:
    """Note what a newer version's `migrate` would."""
    with connect(environment) as connection:
        connection.execute(
            "INSERT INTO schema_migrations (name, sha256, oldest_code) VALUES (%s, %s, %s)",
            (LATER, "0", oldest_code),
        )


def test_this_code_runs_on_a_newer_schema_that_allows_it(own_environment: dict[str, str]) -> None:
    apply_later(own_environment, "0005")
    for action in ("status", "migrate"):
        done = command(own_environment, "sql", action)
        assert done.returncode == 0, done.stderr
        if action == "status":
            (line,) = [line for line in done.stdout.splitlines() if LATER in line]
            assert line.endswith("(unknown to this version)")
    send(own_environment, meter_value("A"))
    with ApiProcess(own_environment) as api, WorkerProcess(own_environment) as worker:
        wait_until(lambda: counted(own_environment)["stored"] == 1, "it was stored")
        assert api.http.get("/v1/devices/meters/A/state").status_code == 200
        assert worker.terminate() == 0


@pytest.mark.parametrize(
    ("oldest_code", "needed"), [("9998", "9998 or later would do"), (None, "cannot work")]
)
def test_a_newer_schema_that_does_not_allow_it_is_refused_until_it_does(
    own_environment: dict[str, str], oldest_code: str | None, needed: str
) -> None:
    apply_later(own_environment, oldest_code)
    for action in ("status", "migrate"):
        done = command(own_environment, "sql", action)
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith(f"error: the database has {LATER}")
        assert needed in done.stderr
        assert "Traceback" not in done.stderr
    with WorkerProcess(own_environment) as worker, ApiProcess(own_environment, ready=False) as api:
        worker.says(f"not ready: database: the database has {LATER}")
        api.says(f"the database has {LATER}")
        assert api.http.get("/health/ready").status_code == 503
        with connect(own_environment) as connection:
            connection.execute("UPDATE schema_migrations SET oldest_code = '0005'")
        worker.says("database: fine")
        api.says("PostgreSQL at", ": fine")
        assert worker.terminate() == 0


def test_an_older_schema_is_waited_for(own_environment: dict[str, str]) -> None:
    with connect(own_environment) as connection:
        connection.execute(
            "DELETE FROM schema_migrations WHERE name = (SELECT max(name) FROM schema_migrations)"
        )
    done = command(own_environment, "sql", "status")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].endswith("missing")
    with WorkerProcess(own_environment) as worker:
        worker.says("the schema is missing or old")
        assert worker.terminate() == 0


def test_the_notes_of_release_0_1_0_get_the_column_they_lack(
    own_environment: dict[str, str],
) -> None:
    with connect(own_environment) as connection:
        connection.execute("ALTER TABLE schema_migrations DROP COLUMN oldest_code")
        assert command(own_environment, "sql", "status").returncode == 0
        done = command(own_environment, "sql", "migrate")
        assert done.returncode == 0, done.stderr
        noted = "SELECT count(*) FROM schema_migrations WHERE oldest_code IS NULL"
        assert connection.execute(noted).fetchone() != (0,)
