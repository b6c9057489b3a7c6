"""The chaos suite: services that tests may break, and the table of what they did.

Every scenario has a short form, which is part of the whole test suite, and a long one
(`make chaos`).
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from devstack.stack import Stack
from tests.chaos import report
from tests.chaos.together import Scenario, Scene, Together
from tests.chaos.world import World

FIGURES = pytest.StashKey[list[report.CampaignFigures]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="the long form of the chaos scenarios")
    parser.addoption("--figures", metavar="DIR", help="write chaos.md and chaos.json there")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    config = terminalreporter.config
    figures = config.stash.get(FIGURES, [])
    if figures and config.getoption("--figures", None):
        terminalreporter.section("chaos")
        terminalreporter.write_line(report.table(figures))


@pytest.fixture(scope="session")
def long(pytestconfig: pytest.Config) -> bool:
    """Whether the long forms are to run."""
    return bool(pytestconfig.getoption("--long", False))


@pytest.fixture(scope="package")
def stack() -> Iterator[Stack]:
    """One PostgreSQL and one broker for all scenarios; whoever breaks them mends them."""
    with Stack() as stack:
        yield stack


@pytest.fixture(scope="module")
def cluster() -> Iterator[Stack]:
    """Three brokers."""
    with Stack(brokers=3) as stack:
        yield stack


@pytest.fixture(scope="package")
def together(request: pytest.FixtureRequest, stack: Stack, long: bool) -> Together:
    """The scenarios that run side by side."""
    figures = request.config.stash.setdefault(FIGURES, [])
    names = {getattr(item, "originalname", item.name) for item in request.session.items}
    return Together(names, lambda undo: _Scene(stack, figures, undo, long=long))


@pytest.fixture
def scene(
    pytestconfig: pytest.Config, stack: Stack, together: Together, long: bool
) -> Iterator[Scene]:
    """Opens the test's world."""
    figures = pytestconfig.stash.setdefault(FIGURES, [])
    with ExitStack() as undo:
        yield _Scene(stack, figures, undo, together, long=long)
    directory = pytestconfig.getoption("--figures", None)
    if directory:
        report.write(figures, Path(directory))


class _Scene:
    def __init__(
        self,
        stack: Stack,
        figures: list[report.CampaignFigures],
        undo: ExitStack,
        together: Together | None = None,
        *,
        long: bool,
    ) -> None:
        self._stack = stack
        self._figures = figures
        self._undo = undo
        self._together = together
        self.long = long

    def __call__(self, name: str, on: Stack | None = None, **options: object) -> World:
        world = World(name, on or self._stack, long=self.long, **options)
        self._figures.append(world.figures)
        return self._undo.enter_context(world)

    def together(self, scenario: Scenario) -> None:
        assert self._together
        self._together.result_of(scenario)
