"""A running API for the tests that talk HTTP, a connection for those that ask the database."""

from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

from ingest_worker.write.sink import Sink
from tests.api_process import ApiProcess
from tests.connections import connect
from tests.sinks import METERS, VEHICLES, open_sink


@pytest.fixture(scope="module")
def api(environment: dict[str, str]) -> Iterator[httpx.Client]:
    """A client of an API that runs on this module's environment."""
    with ApiProcess(environment) as process:
        yield process.http


@pytest.fixture
def database(own_environment: dict[str, str]) -> Iterator[psycopg.Connection[Any]]:
    """A connection to the test's own database."""
    with connect(own_environment) as connection:
        yield connection


@pytest.fixture
def sink(own_environment: dict[str, str]) -> Iterator[Sink]:
    """A sink that has taken a partition of meters and one of vehicles."""
    with open_sink(own_environment, METERS, VEHICLES) as sink:
        yield sink
