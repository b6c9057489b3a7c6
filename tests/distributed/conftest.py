"""Tests of what only a Citus cluster does: they run on one, as with `--citus`, when asked for."""

from pathlib import Path

import pytest

from tests import cluster


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.option.citus = True


@pytest.fixture(scope="session")
def own_wheel() -> Path:
    """The programs of nodes that a test starts itself."""
    return cluster.own_wheel()
