"""The chaos suite: worlds for its scenarios, and the table of what they did.

Every scenario has a short form, which is part of the whole test suite, and a long one
(`make chaos`).
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import pytest

from devstack.stack import Stack
from tests.chaos import report
from tests.chaos.scene import Scene
from tests.conftest import mend

PROPERTY = "chaos"
"""What a test's figures are called in its report, which comes from a worker process."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="the long form of the chaos scenarios")
    parser.addoption("--figures", metavar="DIR", help="write chaos.md and chaos.json there")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    directory = terminalreporter.config.getoption("--figures", None)
    figures = [
        report.CampaignFigures(**value)
        for reports in terminalreporter.stats.values()
        for each in reports
        if getattr(each, "when", None) == "teardown"
        for name, value in each.user_properties
        if name == PROPERTY
    ]
    if directory and figures:
        report.write(figures, Path(directory))
        terminalreporter.section("chaos")
        terminalreporter.write_line(report.table(figures))


@pytest.fixture(scope="session")
def long(pytestconfig: pytest.Config) -> bool:
    """Whether the long forms are to run."""
    return bool(pytestconfig.getoption("--long", False))


@pytest.fixture(scope="module")
def three_brokers() -> Iterator[Stack]:
    """A stack of three brokers."""
    with Stack(brokers=3) as stack:
        yield stack


@pytest.fixture
def cluster(three_brokers: Stack) -> Iterator[Stack]:
    """Three brokers that the test may kill; all of them work again after it."""
    yield three_brokers
    mend(three_brokers)


@pytest.fixture
def scene(request: pytest.FixtureRequest, services: dict[str, str], long: bool) -> Iterator[Scene]:
    """Opens the worlds of a test."""
    figures: list[report.CampaignFigures] = []
    try:
        with ExitStack() as undo:
            yield Scene(services, figures, undo, long=long)
    finally:
        request.node.user_properties += [(PROPERTY, asdict(each)) for each in figures]
