"""Who a request comes from, as it was found out before its handler is called."""

from starlette.requests import Request

from schemas.keys import ANYBODY, Caller


def caller_of(request: Request) -> Caller:
    """Whose key or session came with the request; ANYBODY where none is demanded."""
    caller: Caller = request.scope.get("caller", ANYBODY)
    return caller
