"""Tests of what only a Citus cluster does: they run on one, as with `--citus`, when asked for."""

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.option.citus = True
