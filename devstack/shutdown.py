"""The end of a whole stack, in bounded time."""

from collections.abc import Mapping

from devstack.messages import say
from devstack.processes import wait_until
from devstack.service import Service

GRACE_S = 30.0


def end_all(services: Mapping[str, Service]) -> None:
    """Stop all services at the same time; kill those that do not stop within GRACE_S.

    A broker cannot stop cleanly once the others have gone and the quorum is lost.
    """
    for service in services.values():
        if service.frozen:
            service.thaw()
        service.ask_to_stop()
    wait_until(lambda: not any(service.running for service in services.values()), GRACE_S)
    for service in services.values():
        if service.running:
            say(f"{service.name} does not end within {GRACE_S:.0f} s: killing it")
            service.kill()
