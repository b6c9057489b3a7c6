"""Opens the world of a scenario; the world ends with the test."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Unpack

from devstack.stack import Stack
from tests.chaos.report import CampaignFigures
from tests.chaos.world import GatewayOptions, World


class Scene:
    """Opens worlds for one test and keeps the figures of each."""

    def __init__(
        self,
        services: dict[str, str],
        figures: list[CampaignFigures],
        undo: ExitStack,
        *,
        long: bool,
    ) -> None:
        self._services = services
        self._figures = figures
        self._undo = undo
        self.long = long
        """Whether this is the long form."""

    def __call__(
        self,
        name: str,
        stack: Stack | None = None,
        *,
        fresh: Callable[[dict[str, str]], dict[str, str]] | None = None,
        **gateway: Unpack[GatewayOptions],
    ) -> World:
        """A world by its name in the table: on a stack that may be broken, else on the services
        that all tests share."""
        world = World(name, self._services, stack, long=self.long, fresh=fresh, **gateway)
        self._figures.append(world.figures)
        return self._undo.enter_context(world)
