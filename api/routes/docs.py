"""/openapi.json, and Swagger UI at /docs to explore it.

The files of Swagger UI come from a package, so that it works without internet.
"""

from collections.abc import Mapping

import orjson
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from api.http.endpoint import JSON, Handler, allows
from api.http.openapi import TITLE, document
from schemas.keys import Access

ASSETS_PATH = "/docs/assets"
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
<script>
SwaggerUIBundle({{
  url: "/openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  tryItOutEnabled: true,
  validatorUrl: null,
}});
</script>
</body>
</html>
"""


class Docs:
    """The routes /openapi.json and /docs, which describe all other routes."""

    def __init__(self, routes: Mapping[str, Mapping[str, Handler]]) -> None:
        self._document = orjson.dumps(document(routes))

    @allows(Access.OPEN)
    async def document(self, request: Request) -> Response:
        """GET /openapi.json"""
        return Response(self._document, media_type=JSON)

    @allows(Access.OPEN)
    async def page(self, request: Request) -> Response:
        """GET /docs"""
        return HTMLResponse(PAGE)


def assets() -> StaticFiles:
    """Swagger UI's files."""
    return StaticFiles(packages=[("fastapi_swagger", "resources")])
