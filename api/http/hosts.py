"""Only our own pages may use the API from a browser: which names it answers to, and to whose pages.

A page of any site can make a browser send requests here. It can even read the answers when its own
name resolves to our address; so a request must name us as somebody who is allowed to would, in its
header Host. And what changes something must not come from another site's page, as its Origin tells.
Programs that are no browsers send no Origin, and are not held up.
"""

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.errors import ApiError, respond
from schemas.settings import HOST_NAME, LOOPBACK_NAMES, Settings, split_host

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
ELSEWHERE = ("cross-site", "same-site")
"""What Sec-Fetch-Site says of pages that are not ours."""
DEFAULT_PORTS = {"http": "80", "https": "443"}
SHOWN_CHARACTERS = 100


class OwnPages:
    """Middleware that refuses requests for other names, and changes by other sites' pages."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._allowed = allowed_hosts(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (error := self._refusal(scope)):
            response = respond(Request(scope), error)
            await response(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> ApiError | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1:
            return ApiError(400, "A request needs one Host")
        host = hosts[0].lower()
        if not any(_fits(host, name, scope["scheme"]) for name in self._allowed):
            shown = host[:SHOWN_CHARACTERS]
            return ApiError(421, f"This is not {shown}: add the name to APP_ALLOWED_HOSTS if it is")
        if scope["method"] not in SAFE_METHODS and _is_foreign(headers, host, scope["scheme"]):
            return ApiError(403, "A page of another site may change nothing here")
        return None


def allowed_hosts(settings: Settings) -> list[str]:
    """The names that the API answers to, as in APP_ALLOWED_HOSTS, in lower case."""
    names = [name.strip() for name in settings.app_allowed_hosts.lower().split(",")]
    own = settings.app_host.lower()
    return list(filter(None, names)) or [*LOOPBACK_NAMES, f"[{own}]" if ":" in own else own]


def _fits(authority: str, name: str, scheme: str) -> bool:
    """Whether a Host is this allowed one, or one below `*.`; a name without a port has any."""
    host, port = split_host(authority)
    wanted, wanted_port = split_host(name)
    if wanted_port and wanted_port != (port or DEFAULT_PORTS.get(scheme)):
        return False
    if wanted.startswith("*."):
        return bool(HOST_NAME.fullmatch(host)) and host.endswith(wanted[1:])
    return host == wanted


def _is_foreign(headers: Headers, host: str, scheme: str) -> bool:
    """Whether a request for `host` comes from a page of another site, as the browser says."""
    if origins := headers.getlist("origin"):
        return not all(_is_ours(origin.lower(), host, scheme) for origin in origins)
    return headers.get("sec-fetch-site") in ELSEWHERE


def _is_ours(origin: str, host: str, scheme: str) -> bool:
    """Whether an Origin is our own. A proxy may speak HTTPS for us, but never HTTP."""
    origin_scheme, _, authority = origin.partition("://")
    port = DEFAULT_PORTS.get(origin_scheme, "")
    theirs, ours = split_host(authority), split_host(host)
    same = (theirs[0], theirs[1] or port) == (ours[0], ours[1] or port)
    return same and (origin_scheme == "https" or scheme == "http")
