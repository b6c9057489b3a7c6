"""/openapi.json and /asyncapi.json, and Swagger UI at /docs to explore the first.

The files of Swagger UI come from a package, so that it works without internet.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from api import asyncapi
from api.http.endpoint import JSON, Handler, allows
from api.http.openapi import TITLE, document
from schemas.keys import Access
from schemas.settings import Settings

ASSETS_PATH = "/docs/assets"
CACHED = {"Cache-Control": "no-cache"}
"""Kept by browsers, who ask whether it has changed."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = CACHED | {"Content-Security-Policy": POLICY}
PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{TITLE}: API</title>
<link rel="icon" type="image/png" href="{ASSETS_PATH}/favicon-32x32.png">
<link rel="stylesheet" href="{ASSETS_PATH}/swagger-ui.css">
</head>
<body>
<div id="docs"></div>
<script src="{ASSETS_PATH}/swagger-ui-bundle.js"></script>
<script src="/static/api_docs.js"></script>
</body>
</html>
"""


class Docs:
    """The routes that describe all others, and what comes and goes over Kafka."""

    def __init__(self, routes: Mapping[str, Mapping[str, Handler]], settings: Settings) -> None:
        self._document = orjson.dumps(document(routes))
        self._topics = orjson.dumps(asyncapi.document(settings))

    @allows(Access.OPEN)
    async def document(self, request: Request) -> Response:
        """GET /openapi.json"""
        return Response(self._document, media_type=JSON)

    @allows(Access.OPEN)
    async def topics(self, request: Request) -> Response:
        """GET /asyncapi.json"""
        return Response(self._topics, media_type=JSON)

    @allows(Access.OPEN)
    async def page(self, request: Request) -> Response:
        """GET /docs"""
        return HTMLResponse(PAGE, headers=HEADERS)


class _Assets(StaticFiles):
    def file_response(self, *arguments: Any, **more: Any) -> Response:
        response = super().file_response(*arguments, **more)
        response.headers.update(CACHED)
        return response


def assets() -> StaticFiles:
    """Swagger UI's files."""
    return _Assets(packages=[("fastapi_swagger", "resources")])
