"""Failed attempts: each client address may have a few, then its next ones are answered slowly.

Nobody finds 32 random bytes by trying; this keeps those who try from costing much, and makes them
visible. Whoever has a good key is never slowed, also from the same address.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address

from api.http.errors import too_many
from api.keys.errors import RefusedKeyError

QUICK = 20
"""Failures of one address that are answered at once."""
FORGIVEN_PER_S = 0.5
SLOWED_S = 0.25
MAX_SLOWED = 4
"""Answers that one address waits for at a time; beyond them it is told to come back later."""
MAX_ADDRESSES = 10_000
NETWORK_BITS = 64
"""Of an IPv6 address: one machine has all the others."""
LOG_EVERY_S = 10.0

log = logging.getLogger(__name__)


@dataclass
class _Address:
    failures: float = 0.0
    at: float = field(default_factory=lambda: time.monotonic())
    slowed: int = 0


class Attempts:
    """The failed attempts of each address, as far as they matter still."""

    def __init__(self) -> None:
        self._addresses: OrderedDict[str, _Address] = OrderedDict()
        self._unsaid = 0
        self._said_at = -LOG_EVERY_S

    async def failed(self, client: str, refused: RefusedKeyError) -> None:
        """Note a failure; returns once it may be answered. Raises ApiError 429."""
        self._say(client, refused)
        address = self._address(_network(client))
        address.failures += 1
        if address.failures <= QUICK:
            return
        if address.slowed >= MAX_SLOWED:
            raise too_many("Too many wrong keys from this address", 1)
        address.slowed += 1
        try:
            await asyncio.sleep(SLOWED_S)
        finally:
            address.slowed -= 1

    def _address(self, name: str) -> _Address:
        address = self._addresses.pop(name, None) or _Address()
        self._addresses[name] = address
        if len(self._addresses) > MAX_ADDRESSES:
            self._addresses.popitem(last=False)
        now = time.monotonic()
        address.failures = max(0.0, address.failures - FORGIVEN_PER_S * (now - address.at))
        address.at = now
        return address

    def _say(self, client: str, refused: RefusedKeyError) -> None:
        """One line for all failures of LOG_EVERY_S."""
        self._unsaid += 1
        now = time.monotonic()
        if now - self._said_at < LOG_EVERY_S:
            return
        count, self._unsaid, self._said_at = self._unsaid, 0, now
        fields = {"client": client, "key": refused.key_id, "reason": refused.refusal.value}
        log.warning(
            "%d requests with a wrong key were refused; the last one: %s, from %s",
            count,
            f"{refused.refusal} {refused.key_id}" if refused.key_id else refused.refusal,
            client,
            extra=fields,
        )


def _network(client: str) -> str:
    """What an address is counted under."""
    try:
        address = ip_address(client)
    except ValueError:
        return client  # none, such as of a test's client
    if isinstance(address, IPv6Address) and not address.ipv4_mapped:
        return f"{int(address) >> (128 - NETWORK_BITS):x}"
    return client
