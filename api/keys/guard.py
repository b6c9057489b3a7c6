"""Who sends a request, and whether they may: asked before any of its body is read.

A key comes in `Authorization: Bearer eie_...`, and nowhere else; the page's sign-in comes in a
cookie. A wrong key is refused on every route that is not open to all, also where none is demanded.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from starlette.requests import HTTPConnection
from starlette.types import Scope

from api.http.callers import cookie_hash
from api.http.errors import ApiError, unavailable
from api.keys.allowances import Accounts
from api.keys.attempts import Attempts
from api.keys.errors import RefusedKeyError
from api.keys.ring import Keyring
from api.metrics import Metrics
from schemas.keys import ANYBODY, Access, Caller, Key, Refusal, parse_key

SCHEME = "bearer"
CHALLENGE = 'Bearer realm="energy-ingestion"'
MESSAGES = {
    Refusal.MISSING: "A key is needed: Authorization: Bearer eie_...",
    Refusal.MALFORMED: "That is no key: one is eie_<id>_<secret>, and comes once, as Bearer",
    Refusal.UNKNOWN: "There is no such key",
    Refusal.EXPIRED: "The key has expired",
    Refusal.REVOKED: "The key was revoked",
    Refusal.ROTATED: "The key was rotated: it has a new secret",
    Refusal.SIGNED_OUT: "The sign-in is over: sign in again, or send a key",
}
UNTRIED = (Refusal.MISSING, Refusal.SIGNED_OUT)
"""Nobody has tried a key."""


class Guard:
    """Stands before every route."""

    def __init__(self, ring: Keyring, metrics: Metrics, *, demanded: bool) -> None:
        self.demanded = demanded
        self._ring = ring
        self._metrics = metrics
        self._attempts = Attempts()
        self.accounts = Accounts(metrics)

    @asynccontextmanager
    async def let_in(self, scope: Scope, access: Access) -> AsyncIterator[None]:
        """What a request may do, until its answer is sent; `scope["caller"]` says whose it is.

        Raises ApiError 401, 403, 429, or 503 before the keys could be read.
        """
        if access is Access.OPEN:
            yield
            return
        caller = await self.caller(scope)
        if not caller.may(access):
            raise ApiError(403, f"A key of role {caller.role} may not do this")
        scope["caller"] = caller
        async with self.accounts.charged(caller):
            yield

    async def caller(self, scope: Scope) -> Caller:
        """Whose request it is. Raises ApiError 401, 429, or 503 before the keys could be read."""
        if sent := HTTPConnection(scope).headers.getlist("authorization"):
            return await self.owner(scope, _bearer(sent))
        if found := await self.signed_in(scope):
            return found[0]
        if not self.demanded:
            return ANYBODY
        if not await self._ring.readable():
            raise _unread()
        refusal = Refusal.SIGNED_OUT if cookie_hash(scope) else Refusal.MISSING
        raise await self._refused(scope, RefusedKeyError(refusal))

    async def signed_in(self, scope: Scope) -> tuple[Caller, datetime] | None:
        """Whose sign-in came with a request, and until when it is good; None without a good one."""
        token_hash = cookie_hash(scope)
        if token_hash is None:
            return None
        return await self._ring.signed_in(token_hash, look=self.demanded)

    async def owner(self, scope: Scope, key: Key | None) -> Caller:
        """Whose key it is; None stands for what is none. Raises ApiError as `caller` does."""
        if key is None:
            raise await self._refused(scope, RefusedKeyError(Refusal.MALFORMED))
        if not await self._ring.readable():
            raise _unread()
        try:
            return await self._ring.caller(key)
        except RefusedKeyError as refused:
            raise await self._refused(scope, refused) from None

    async def _refused(self, scope: Scope, refused: RefusedKeyError) -> ApiError:
        """The 401, once it may be answered. Raises ApiError 429."""
        self._metrics.refused_keys.labels(refused.refusal).inc()
        challenge = CHALLENGE
        if refused.refusal not in UNTRIED:
            client = scope.get("client")
            await self._attempts.failed(client[0] if client else "unknown", refused)
            challenge += ', error="invalid_token"'
        return ApiError(401, MESSAGES[refused.refusal], headers={"WWW-Authenticate": challenge})


def _bearer(sent: list[str]) -> Key | None:
    scheme, _, key = sent[0].partition(" ")
    if len(sent) > 1 or scheme.lower() != SCHEME:
        return None
    return parse_key(key.strip(" "))


def _unread() -> ApiError:
    return unavailable("Waiting for PostgreSQL: the keys could not be read yet")
