"""Scenarios that leave the shared services alone run side by side: most of each is waiting.

The first of them to be asked for runs them all; the others only give their results.
"""

import functools
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from typing import Protocol

from devstack.stack import Stack
from tests.chaos.world import World

AT_A_TIME = 4
Scenario = Callable[["Scene"], None]


class Scene(Protocol):
    """Opens a scenario's world by its name in the table; it ends with the test."""

    @property
    def long(self) -> bool:
        """Whether this is the long form."""

    def __call__(self, name: str, on: Stack | None = None, **options: object) -> World:
        """`on` another stack than the one shared by all; the options are the world's."""

    def together(self, scenario: Scenario) -> None:
        """Run it, side by side with all others that were chosen to run; raises its error."""


_calm: dict[str, Scenario] = {}


def calm(scenario: Scenario) -> Scenario:
    """A test that breaks nothing but its own world."""
    _calm[scenario.__name__] = scenario

    @functools.wraps(scenario)
    def test(scene: Scene) -> None:
        scene.together(scenario)

    return test


class Together:
    """Runs the calm scenarios of a session once."""

    def __init__(self, names: set[str], open_scene: Callable[[ExitStack], Scene]) -> None:
        """`names` are the tests chosen to run."""
        self._chosen = [scenario for name, scenario in _calm.items() if name in names]
        self._open_scene = open_scene
        self._results: dict[Scenario, Future[None]] = {}

    def result_of(self, scenario: Scenario) -> None:
        """Raises what the scenario raised."""
        if not self._results:
            with ThreadPoolExecutor(AT_A_TIME, "scenario") as pool:
                self._results = {each: pool.submit(self._run, each) for each in self._chosen}
                wait(self._results.values())
        self._results[scenario].result()

    def _run(self, scenario: Scenario) -> None:
        with ExitStack() as undo:
            scenario(self._open_scene(undo))
