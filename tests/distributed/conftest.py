"""Tests of what only a Citus cluster does: they run on one, as with `--citus`, when asked for."""

import pytest

BREAKING = "stack"
"""The fixture of tests that stop or kill nodes, for which the cluster has to be their own."""


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.option.citus = True
