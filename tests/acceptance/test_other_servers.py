"""Whatever server, whatever defaults, whatever stands in between: the same answers everywhere."""

import os
from typing import Any

import pytest

from sql.connect import OLDEST_VERSION, VERSIONS_A_MAJOR
from tests import whole_path
from tests.conftest import empty_database, empty_environment
from tests.hostile import CLIENT, PLANS, make_hostile
from tests.pgbouncer import pgbouncer
from tests.postgres_versions import VERSIONS, postgres_of

OLDEST = OLDEST_VERSION // VERSIONS_A_MAJOR
TRIED = [
    version
    for version in VERSIONS
    if version == OLDEST or (version > OLDEST and os.environ.get("EVERY_POSTGRES") == "1")
]
"""The oldest version, and with EVERY_POSTGRES=1 in the environment those between it and ours."""


@pytest.fixture(scope="module")
def sent(services: dict[str, str]) -> dict[str, str]:
    """Topics that hold readings; the tests' databases read them one by one."""
    environment = empty_environment(services)
    whole_path.send(environment)
    return environment


@pytest.fixture(scope="module")
def ordinary(sent: dict[str, str]) -> dict[str, Any]:
    """The answers of an ordinary database on an ordinary server."""
    answers = whole_path.walk(sent)
    assert answers["books"]["rejected"] == whole_path.REJECTED
    return answers


def test_a_database_and_an_environment_with_hostile_defaults(
    services: dict[str, str], sent: dict[str, str], ordinary: dict[str, Any]
) -> None:
    environment = sent | empty_database(services)
    make_hostile(environment, **PLANS)
    assert whole_path.walk(environment | CLIENT) == ordinary


@pytest.mark.parametrize("version", TRIED)
def test_an_older_server(sent: dict[str, str], ordinary: dict[str, Any], version: int) -> None:
    with postgres_of(version) as server:
        environment = sent | server
        assert whole_path.walk(environment | empty_database(environment)) == ordinary


def test_behind_a_pooler_of_sessions(
    services: dict[str, str], sent: dict[str, str], ordinary: dict[str, Any]
) -> None:
    environment = sent | empty_database(services)
    with pgbouncer(environment, "session") as pooled:
        assert whole_path.walk(pooled) == ordinary
