"""Keys of the API: how one is written, what each role may do, and who a request comes from.

A key is `eie_<id>_<secret>`. The id says where to look; only the SHA-256 of the secret is stored:
32 random bytes cannot be guessed, so that a slow hash would protect nothing.
"""

import re
import secrets
from dataclasses import dataclass
from enum import Enum, StrEnum
from hashlib import sha256
from typing import NamedTuple

PREFIX = "eie"
ID_CHARACTERS, ID_ALPHABET = 12, "abcdefghijklmnopqrstuvwxyz234567"
SECRET_BYTES = 32
_KEY = re.compile(
    rf"{PREFIX}_([{ID_ALPHABET}]{{{ID_CHARACTERS}}})_([0-9a-f]{{{2 * SECRET_BYTES}}})"
)


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


class Refusal(StrEnum):
    """Why a request is not let in."""

    MISSING = "missing"
    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    """There is no key of that id, or its secret is another one: strangers are not told which."""
    EXPIRED = "expired"
    REVOKED = "revoked"
    ROTATED = "rotated"
    """The secret was good once, and the grace of the rotation is over."""
    SIGNED_OUT = "signed_out"
    """The sign-in that a cookie stands for is over, or never was."""


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


class Key(NamedTuple):
    """A key as it is handed out. Its secret is shown once, and kept by nobody here."""

    id: str
    secret: str

    def __str__(self) -> str:
        return f"{PREFIX}_{self.id}_{self.secret}"

    def __repr__(self) -> str:
        return f"Key({self.id})"

    @property
    def hash(self) -> bytes:
        """What is stored of the secret."""
        return hash_of(self.secret)


def new_key(key_id: str | None = None) -> Key:
    """A key of this id, or of a new one, with a new secret."""
    random = (secrets.choice(ID_ALPHABET) for _ in range(ID_CHARACTERS))
    return Key(key_id or "".join(random), secrets.token_hex(SECRET_BYTES))


def parse_key(text: str) -> Key | None:
    """The key that a text is; None when it has not the form of one."""
    found = _KEY.fullmatch(text)
    return Key(*found.groups()) if found else None


def hash_of(secret: str) -> bytes:
    """The SHA-256 of a secret, 32 bytes."""
    return sha256(secret.encode()).digest()
