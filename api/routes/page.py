"""The page for an operations room: `/`, and the files below `/static` that it is made of.

They are plain files, read once at the start, and the page asks the same routes as every client. Its
content security policy lets it load nothing from elsewhere, nor turn text into markup.
"""

from hashlib import sha256
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from api.http.endpoint import allows
from api.http.errors import not_found
from schemas.keys import Access

FILES = Path(__file__).parents[1] / "static"
INDEX = "index.html"
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {"Cache-Control": "no-cache", "Content-Security-Policy": POLICY}


class PageRoutes:
    """The routes `/` and `/static/:name`."""

    def __init__(self) -> None:
        self._files = {path.name: _File(path) for path in FILES.iterdir() if path.is_file()}

    @allows(Access.OPEN)
    async def page(self, request: Request) -> Response:
        """GET /"""
        return self._files[INDEX].answer(request)

    @allows(Access.OPEN)
    async def file(self, request: Request) -> Response:
        """GET /static/:name"""
        name = request.path_params["name"]
        if name not in self._files:
            raise not_found("File", name)
        return self._files[name].answer(request)


class _File:
    """One file as it is sent: whole, or as 304 to a browser that has it already."""

    def __init__(self, path: Path) -> None:
        self._content = path.read_bytes()
        self._media_type = MEDIA_TYPES[path.suffix]
        self._tag = f'"{sha256(self._content).hexdigest()[:32]}"'

    def answer(self, request: Request) -> Response:
        headers = HEADERS | {"ETag": self._tag}
        if request.headers.get("If-None-Match") == self._tag:
            return Response(status_code=304, headers=headers)
        return Response(self._content, media_type=self._media_type, headers=headers)
