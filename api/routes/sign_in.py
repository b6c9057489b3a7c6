"""Signing in on the page: a key is exchanged for a cookie that scripts cannot read.

The cookie is random, and the database has its hash alone. It is good for as long as the secret that
it was had for, at most SIGNED_IN_FOR.
"""

import secrets
from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api.database import Database
from api.http.callers import cookie_hash, cookie_name
from api.http.endpoint import allows, answers
from api.http.errors import ApiError
from api.http.responses import JsonResponse
from api.keys.guard import Guard
from api.keys.ring import Keyring
from schemas.fields import utc_now
from schemas.keys import SECRET_BYTES, Access, hash_of, parse_key
from schemas.sign_in import NewSignIn, SignedIn, SignInState
from sql.named import load

SIGNED_IN_FOR = timedelta(hours=12)
MAX_SIGN_INS = 100
"""Of one key, the newest."""
SQL = load("keys")


class SignInRoutes:
    """The route /v1/session."""

    def __init__(self, guard: Guard, ring: Keyring, database: Database) -> None:
        self._guard = guard
        self._ring = ring
        self._database = database

    @allows(Access.OPEN)
    @answers(SignedIn, 201, errors=(401, 403, 429), headers=("Set-Cookie",))
    async def sign_in(self, request: Request, body: NewSignIn) -> Response:
        """Exchange a key of an analyst or an operator for a cookie that stands for it."""
        key = parse_key(body.key)
        caller = await self._guard.owner(request.scope, key)
        assert key
        assert caller.name
        assert caller.role
        if not caller.may(Access.READ):
            raise ApiError(
                403, f"A key of role {caller.role} cannot sign in: the page is for people"
            )
        token = secrets.token_hex(SECRET_BYTES)
        ends = [utc_now() + SIGNED_IN_FOR, self._ring.expiry(caller)]
        expires_at = min(end for end in ends if end)
        row: dict[str, Any] = {"hash": hash_of(token), "key_id": key.id, "key_hash": key.hash}
        row |= {"expires_at": expires_at, "most": MAX_SIGN_INS}
        async with self._guard.accounts.charged(caller), self._database.connection() as connection:
            await connection.execute(SQL["sign_in"], row)
        await self._ring.renewed()
        signed_in = SignedIn(name=caller.name, role=caller.role, expires_at=expires_at)
        response = JsonResponse(signed_in, 201)
        self._set_cookie(request, response, token, int(SIGNED_IN_FOR.total_seconds()))
        return response

    @allows(Access.OPEN)
    @answers(None, 204, headers=("Set-Cookie",))
    async def sign_out(self, request: Request) -> Response:
        """Forget the sign-in that the cookie stands for, wherever else it is used."""
        token_hash = cookie_hash(request.scope)
        if token_hash and await self._ring.signed_in(token_hash):
            async with self._database.connection() as connection:
                await connection.execute(SQL["sign_out"], {"hash": token_hash})
            await self._ring.renewed()
        response = Response(status_code=204)
        self._set_cookie(request, response, "", 0)
        return response

    @allows(Access.OPEN)
    @answers(SignInState)
    async def state(self, request: Request) -> Response:
        """Whether keys are demanded here, and who is signed in by the cookie."""
        state = SignInState(demanded=self._guard.demanded)
        if found := await self._guard.signed_in(request.scope):
            caller, expires_at = found
            who = {"name": caller.name, "role": caller.role, "expires_at": expires_at}
            state = state.model_copy(update=who)
        return JsonResponse(state, exclude_unset=True)

    def _set_cookie(self, request: Request, response: Response, token: str, seconds: int) -> None:
        response.set_cookie(
            cookie_name(request.scope),
            token,
            max_age=seconds,
            path="/",
            secure=request.scope["scheme"] == "https",
            httponly=True,
            samesite="strict",
        )
