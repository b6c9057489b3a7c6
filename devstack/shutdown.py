"""The end of a whole stack, in bounded time: all asked to stop at once, what lingers killed."""

from collections.abc import Mapping

from devstack.messages import say
from devstack.processes import wait_until
from devstack.service import Service

GRACE_S = 30.0


def end_all(services: Mapping[str, Service]) -> None:
    """Stops all services side by side; brokers that lose their quorum meanwhile may linger."""
    for service in services.values():
        if service.frozen:
            service.thaw()
        service.ask_to_stop()
    wait_until(lambda: not any(service.running for service in services.values()), GRACE_S)
    for service in services.values():
        if service.running:
            say(f"{service.name} does not end within {GRACE_S:.0f} s: killing it")
            service.kill()
