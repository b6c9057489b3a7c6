"""Who a request comes from, found out before its handler is called, and the sign-in's cookie."""

from starlette.requests import HTTPConnection, Request
from starlette.types import Scope

from schemas.keys import ANYBODY, Caller, hash_of

COOKIE = "eie_session"
TLS_COOKIE = f"__Host-{COOKIE}"
"""A browser takes a cookie of such a name from this very host alone, and over TLS."""


def caller_of(request: Request) -> Caller:
    """Whose key or sign-in came with the request; ANYBODY where none is demanded."""
    caller: Caller = request.scope.get("caller", ANYBODY)
    return caller


def name_of_caller(request: Request) -> str:
    """The name of the key that came with it, else where it came from."""
    host = request.client.host if request.client else "unknown"
    return caller_of(request).name or f"api@{host}"


def cookie_name(scope: Scope) -> str:
    """What the cookie of a sign-in is called on this connection."""
    return TLS_COOKIE if scope["scheme"] == "https" else COOKIE


def cookie_hash(scope: Scope) -> bytes | None:
    """The hash of the sign-in's token that came with the request; None when none came."""
    token = HTTPConnection(scope).cookies.get(cookie_name(scope))
    return hash_of(token) if token else None
