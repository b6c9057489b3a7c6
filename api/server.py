"""The HTTP server, and how it stops so that nobody is turned away.

Whoever sends requests here learns that this process stops by asking /health/ready, now and then.
So SIGTERM changes that answer first. For DRAIN_S more, everything is served as before, but every
answer closes its connection. Only then are connections refused; requests under way are finished.
"""

import logging
import signal
import time
from types import FrameType

import uvicorn

from api.http.draining import Draining

DRAIN_S = 5.0
"""How long a load balancer may take to notice; many ask every other second or every fifth."""
GRACE_S = 10
"""How long requests under way may take after that."""

log = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """uvicorn's server, which drains at the first SIGTERM.

    Another signal, or Ctrl-C at once, ends the drain; the next one the requests under way, too.
    """

    def __init__(self, config: uvicorn.Config, draining: Draining) -> None:
        super().__init__(config)
        self._draining = draining
        self._asked = False
        self._drained_at = 0.0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal. uvicorn's own handler would raise it once more at its end."""
        if self.should_exit:
            self.force_exit = True
        elif sig == signal.SIGTERM and not self._asked:
            self._asked = True
        else:
            self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Whether to exit; asked ten times a second."""
        if self._asked and not self._draining.begun:
            self._draining.begun = True
            self._drained_at = time.monotonic() + DRAIN_S
            log.info("stopping: not ready, connections are refused in %.0f s", DRAIN_S)
        if self._draining.begun and time.monotonic() >= self._drained_at:
            self.should_exit = True
        return await super().on_tick(counter)
