"""All keys and sign-ins, as this process last read them: a request never waits for PostgreSQL.

They are read again every RENEW_S, on a connection beside the pool, so that a revocation soon counts
everywhere, however busy the pool is. While PostgreSQL is away, those last read go on serving;
whether one has expired is judged by this machine's clock. A key or a sign-in that is not known may
have been made a moment ago: then all are read once more before it is refused.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from hmac import compare_digest
from typing import NamedTuple

import psycopg
from psycopg.rows import DictRow

from api.keys.errors import NO_LIVE_KEY, NoLiveKeyError, RefusedKeyError
from api.side_connection import SideConnection
from reporting.waiting import Waiting
from schemas.fields import utc_now
from schemas.keys import Caller, Key, Refusal, Role
from sql.named import load

RENEW_S = 2.0
ANSWER_WITHIN_S = 2.0
"""With RENEW_S less than the 5 s in which a revocation has to count."""
MIN_PAUSE_S = 0.25
"""Between two reads, however many unknown keys come in."""
SQL = load("keys")
READING = "reading the keys"


class StoredKey(NamedTuple):
    """A key as it is in the database."""

    caller: Caller
    hash: bytes
    expires_at: datetime | None
    revoked_at: datetime | None
    previous_hash: bytes | None
    previous_expires_at: datetime | None

    def refusal(self, secret_hash: bytes, now: datetime) -> Refusal | None:
        """Why a secret of this hash does not do at `now`; None when it does."""
        current = compare_digest(secret_hash, self.hash)
        if not current and (
            self.previous_hash is None or not compare_digest(secret_hash, self.previous_hash)
        ):
            return Refusal.UNKNOWN
        if self.revoked_at:
            return Refusal.REVOKED
        if self.expires_at and self.expires_at <= now:
            return Refusal.EXPIRED
        if not current and (self.previous_expires_at is None or self.previous_expires_at <= now):
            return Refusal.ROTATED
        return None


class SignIn(NamedTuple):
    """A sign-in as it is in the database."""

    key_id: str
    key_hash: bytes
    expires_at: datetime


class Keyring:
    """The keys and sign-ins of the database."""

    def __init__(self, where: str) -> None:
        self._side = SideConnection(where, ANSWER_WITHIN_S)
        self._degraded = Waiting({}, what="degraded")
        self._keys: Mapping[str, StoredKey] | None = None
        self._sign_ins: Mapping[bytes, SignIn] = {}
        self._next: asyncio.Task[None] | None = None
        """The read that has not begun yet."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._last_read = 0.0

    @property
    def any_live(self) -> bool | None:
        """Whether any key would be taken now; None before the first read."""
        if self._keys is None:
            return None
        now = utc_now()
        return any(key.refusal(key.hash, now) is None for key in self._keys.values())

    async def run(self, why_demanded: str | None) -> None:
        """Read all again and again.

        `why_demanded`: the setting because of which keys are demanded, if they are. Raises
        NoLiveKeyError when they are, and the first read finds none.
        """
        seen = False
        while True:
            await self.renewed()
            live = self.any_live
            if why_demanded and live is not None:
                if not live and not seen:
                    raise NoLiveKeyError(why_demanded)
                seen = True
                self._degraded.judged("live keys", None if live else NO_LIVE_KEY)
            await asyncio.sleep(RENEW_S)

    async def close(self) -> None:
        """Close the connection."""
        await self._side.close()

    async def readable(self) -> bool:
        """Whether the keys have ever been read; tries to, where they have not."""
        if self._keys is None:
            await self.renewed()
        return self._keys is not None

    async def caller(self, key: Key) -> Caller:
        """Whose key it is. Raises RefusedKeyError."""
        assert self._keys is not None
        if key.id not in self._keys:
            await self.renewed()
        stored = self._keys.get(key.id)
        if stored is None:
            raise RefusedKeyError(Refusal.UNKNOWN)
        refusal = stored.refusal(key.hash, utc_now())
        if refusal is Refusal.UNKNOWN:  # or it was rotated a moment ago
            await self.renewed()
            stored = self._keys[key.id]
            refusal = stored.refusal(key.hash, utc_now())
        if refusal:
            raise RefusedKeyError(refusal, key.id)
        return stored.caller

    async def signed_in(
        self, token_hash: bytes, *, look: bool = True
    ) -> tuple[Caller, datetime] | None:
        """Who is signed in by the token of this hash, and until when; None when nobody is.

        One that is not known yet is looked for in the database, unless `look` is false.
        """
        if look and token_hash not in self._sign_ins:
            await self.renewed()
        found, now = self._sign_ins.get(token_hash), utc_now()
        key = (self._keys or {}).get(found.key_id) if found else None
        if not found or not key or found.expires_at <= now or key.refusal(found.key_hash, now):
            return None
        return key.caller, found.expires_at

    def expiry(self, caller: Caller) -> datetime | None:
        """When the caller's key expires."""
        key = (self._keys or {}).get(caller.key_id or "")
        return key.expires_at if key else None

    def ending(self) -> list[tuple[str, str, datetime]]:
        """The id, the role and the end of each key that is good now and has an end."""
        now = utc_now()
        return [
            (key.caller.key_id, str(key.caller.role), key.expires_at)
            for key in (self._keys or {}).values()
            if key.caller.key_id and key.expires_at and key.refusal(key.hash, now) is None
        ]

    async def renewed(self) -> None:
        """Wait for a read that begins from now on. Where it fails, what was known stays known."""
        if self._next is None:
            self._next = asyncio.create_task(self._read_next())
            self._tasks.add(self._next)
            self._next.add_done_callback(self._tasks.discard)
        await asyncio.shield(self._next)

    async def _read_next(self) -> None:
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(self._last_read + MIN_PAUSE_S - clock())
        self._next, self._last_read = None, clock()
        try:
            keys = await self._side.ask(SQL["all"])
            sign_ins = await self._side.ask(SQL["signed_in"])
        except TimeoutError:
            self._degraded.missing(READING, f"no answer within {ANSWER_WITHIN_S:.0f} s")
            return
        except psycopg.Error as error:
            self._degraded.missing(READING, error)
            return
        self._degraded.present(READING)
        known = list(Role)  # a later version, before it was rolled back, may have had more
        self._keys = {row["id"]: _stored(row) for row in keys if row["role"] in known}
        self._sign_ins = {row.pop("hash"): SignIn(**row) for row in sign_ins}


def _stored(row: DictRow) -> StoredKey:
    names = ("hash", "expires_at", "revoked_at", "previous_hash", "previous_expires_at")
    caller = Caller(row["id"], row["name"], Role(row["role"]), tuple(row["device_prefixes"]))
    return StoredKey(caller, **{name: row[name] for name in names})
