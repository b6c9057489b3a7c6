"""A running API for the tests that talk HTTP."""

from collections.abc import Iterator

import httpx
import pytest

from tests.api_process import ApiProcess


@pytest.fixture(scope="module")
def api(environment: dict[str, str]) -> Iterator[httpx.Client]:
    """A client of an API that runs on this module's environment."""
    with ApiProcess(environment) as process:
        yield process.http
