"""`python -m api keys`: what it prints where, and how it ends when it cannot."""

import json
import re
import stat
from pathlib import Path

import psycopg
import pytest

from tests.conftest import empty_database
from tests.connections import connect, conninfo
from tests.keys import keys, make_key, revoke
from tests.workers import command

KEY = re.compile(r"eie_([a-z2-7]{12})_([0-9a-f]{64})")
CREATE = ("api", "keys", "create", "--name", "N", "--role", "gateway")


def test_the_secret_is_alone_on_the_last_line_of_stdout(environment: dict[str, str]) -> None:
    for words in (CREATE, ("api", "keys", "rotate", make_key(environment, "analyst")["id"])):
        done = command(environment, *words)
        assert done.returncode == 0, done.stderr
        (line,) = done.stdout.splitlines()
        found = KEY.fullmatch(line)
        assert found and found[1] in done.stderr and found[2] not in done.stderr


def test_what_json_says_of_a_key(environment: dict[str, str]) -> None:
    made = make_key(environment, "gateway", "--devices", "MTR-1,VH", "--expires", "2099-01-01")
    assert KEY.fullmatch(made["key"]) and made["key"].split("_")[1] == made["id"]
    assert made["devicePrefixes"] == ["MTR-1", "VH"] and made["role"] == "gateway"
    assert made["expiresAt"] == "2099-01-01T00:00:00Z"


def test_the_list_shows_states_and_no_secret(own_environment: dict[str, str]) -> None:
    live, ended, late, old = (make_key(own_environment, "gateway") for _ in range(4))
    revoke(own_environment, ended)
    new = keys(own_environment, "rotate", old["id"])
    with connect(own_environment) as connection:
        past = "UPDATE api_keys SET expires_at = now() WHERE id = %s"
        connection.execute(past, (late["id"],))
        hashes = [row[0].hex() for row in connection.execute("SELECT hash FROM api_keys")]
    listed = {one["id"]: one for one in keys(own_environment, "list")}
    assert {key_id: one["state"] for key_id, one in listed.items()} == {
        live["id"]: "live",
        ended["id"]: "revoked",
        late["id"]: "expired",
        old["id"]: "live",
    }
    assert listed[old["id"]]["previousExpiresAt"] == new["previousExpiresAt"]
    done = command(own_environment, "api", "keys", "list")
    assert f"old secret until {new['previousExpiresAt'][:10]}" in done.stdout
    secret = [key["key"].split("_")[2] for key in (live, ended, late, old, new)]
    assert [text for text in [*hashes, *secret] if text in done.stdout + json.dumps(listed)] == []


def test_only_the_hash_is_stored(own_environment: dict[str, str]) -> None:
    made = make_key(own_environment, "operator")
    with connect(own_environment) as connection:
        rows = str(connection.execute("SELECT api_keys::text FROM api_keys").fetchall())
    assert made["id"] in rows and made["key"].split("_")[2] not in rows


def test_a_key_in_a_file_is_made_once(own_environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "key"
    for _ in range(2):
        done = command(own_environment, *CREATE, "--file", str(path))
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert KEY.fullmatch(path.read_text().removesuffix("\n"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(keys(own_environment, "list")) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_no_file_is_left_when_no_key_could_be_made(
    services: dict[str, str], tmp_path: Path
) -> None:
    unmigrated = {**services, **empty_database(services)}
    done = command(unmigrated, *CREATE, "--file", str(tmp_path / "key"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith(
        "error: the schema is missing or old, run `python -m sql migrate`\n"
    )
    assert list(tmp_path.iterdir()) == []
    done = command(unmigrated, *CREATE, "--file", "/nowhere/key")
    assert done.returncode == 1 and "Traceback" not in done.stderr


def test_a_key_that_is_over_is_not_rotated(environment: dict[str, str]) -> None:
    ended = make_key(environment, "gateway")
    for _ in range(2):
        revoke(environment, ended)
    for key_id, why in ((ended["id"], "is revoked: make a new one"), ("a" * 12, "there is no key")):
        done = command(environment, "api", "keys", "rotate", key_id)
        assert (done.returncode, done.stdout) == (1, "")
        assert why in done.stderr.splitlines()[-1]
    done = command(environment, "api", "keys", "revoke", "a" * 12)
    assert (done.returncode, done.stderr) == (1, f"error: there is no key {'a' * 12}\n")


def test_prefixes_are_for_gateways(environment: dict[str, str]) -> None:
    words = ("api", "keys", "create", "--name", "N", "--role", "analyst", "--devices", "M")
    done = command(environment, *words)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --devices is for gateways")


def test_without_a_database_it_says_so(environment: dict[str, str]) -> None:
    done = command({**environment, "DB_PORT": "1"}, *CREATE)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1


@pytest.fixture
def stranger(environment: dict[str, str]) -> dict[str, str]:
    """A role that may look at the migrations, and at nothing else."""
    name = f"stranger_{environment['DB_DATABASE']}"
    with psycopg.connect(conninfo(environment), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'postgres'".encode())
        connection.execute(f"GRANT SELECT ON schema_migrations TO {name}".encode())
    return {**environment, "DB_USERNAME": name, "DB_PASSWORD": "postgres"}


def test_who_may_not_is_told_who_may(stranger: dict[str, str]) -> None:
    done = command(stranger, *CREATE)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: keys are made by the owner of the database")
