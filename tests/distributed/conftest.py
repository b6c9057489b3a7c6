"""Tests of what only a Citus cluster does: they run on one, as with `--citus`, when asked for."""

from pathlib import Path

import pytest

from devstack.citus import CitusStack
from devstack.stack import Stack
from tests import cluster as clusters


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.option.citus = True


@pytest.fixture(scope="session")
def own_wheel() -> Path:
    """The programs of nodes that a test starts itself."""
    return clusters.own_wheel()


@pytest.fixture
def cluster(stack: Stack) -> CitusStack:
    """A cluster of this process's own, whose nodes are stopped and to which some are added."""
    assert isinstance(stack, CitusStack)
    return stack
