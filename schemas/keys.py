"""Keys of the API: how one is written, what each role may do, and who a request comes from.

A key is `eie_<id>_<secret>`. The id says where to look; only the SHA-256 of the secret is stored:
32 random bytes cannot be guessed, so that a slow hash would protect nothing.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum

PREFIX = "eie"
SECRET_BYTES = 32


class Role(StrEnum):
    """What a key is for."""

    GATEWAY = "gateway"
    """Sends readings, and nothing else."""
    ANALYST = "analyst"
    """Reads everything but the process's metrics."""
    OPERATOR = "operator"
    """Everything but to send readings."""
    METRICS = "metrics"
    """Reads the process's metrics."""


class Access(Enum):
    """Which roles may use a route; its value are these roles, None for everybody."""

    OPEN = None
    """Without a key: there is no data in it."""
    SIGNED_IN = frozenset(Role)
    SEND = frozenset({Role.GATEWAY})
    READ = frozenset({Role.ANALYST, Role.OPERATOR})
    OPERATE = frozenset({Role.OPERATOR})
    METRICS = frozenset({Role.METRICS, Role.OPERATOR})


@dataclass(frozen=True)
class Caller:
    """Who a request comes from."""

    key_id: str | None = None
    name: str | None = None
    role: Role | None = None
    """None where no key is demanded and none was sent: it may do everything."""
    device_prefixes: tuple[str, ...] = ()
    """What the ids begin with that a gateway may send for; empty = any."""

    def may(self, access: Access) -> bool:
        """Whether its role may use routes of this access."""
        return self.role is None or access.value is None or self.role in access.value

    def may_speak_for(self, device_id: str) -> bool:
        """Whether it may send readings of this device."""
        return not self.device_prefixes or device_id.startswith(self.device_prefixes)


ANYBODY = Caller()
