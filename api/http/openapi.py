"""/openapi.json, made from the table of routes and the models that requests are read by.

Each endpoint says what it takes and answers; the errors follow from that.
"""

import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, TypeGuard, get_args, get_origin
from uuid import UUID

import msgspec
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from api.http.callers import COOKIE, TLS_COOKIE
from api.http.endpoint import JSON, Answers, Endpoint, Handler
from api.http.errors import RETRY_AFTER_S
from api.http.examples import error_example, example
from schemas.errors import ErrorBody
from schemas.keys import Access, Role

REFERENCE = "#/components/schemas/{}"
TITLE = "Energy ingestion engine"
DESCRIPTION = """Telemetry of smart meters and vehicles, and the figure made of it: how much of the
AC energy reached the battery. Times are ISO 8601 in UTC; windows are half-open. Every error has the
same body. Beside those listed, another method on a path is answered with 405, another name than the
API's with 421, a change that another site's page asks for with 403, and what goes beyond the bounds
of the server with 400 (no HTTP), 408 (too slow), 431 (a head over 32 KiB) or 503."""
ERRORS = {
    400: "Invalid input; one entry in `details` for each bad field",
    401: "No key came with it, or one that is not good, or a sign-in that is over",
    403: "The key's role may not do this",
    404: "Not found",
    409: "What is there already forbids it",
    413: "The body is too large",
    415: "The body is not plain JSON",
    429: "The key, or this address with wrong ones, sends too many requests",
    503: "PostgreSQL or Kafka is away; to be tried again",
}
HEADERS = {
    "Link": ('`<...>; rel="next"` when there is a next page', {"type": "string"}),
    "Location": ("Path of what was created", {"type": "string"}),
    "Set-Cookie": ("The sign-in, or its end", {"type": "string"}),
    "WWW-Authenticate": ("How to send a key", {"type": "string"}),
    "Retry-After": ("Seconds to wait", {"type": "integer", "examples": [RETRY_AFTER_S]}),
}

SECURITY_SCHEMES = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "eie_<id>_<secret>",
        "description": "A key, made with `python -m api keys create`",
    },
    "signIn": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": f"The page's sign-in: POST /v1/session. Under TLS its name is {TLS_COOKIE}",
    },
}
HEADERS_OF_ERRORS = {401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}

Json = dict[str, Any]


class Components:
    """The schemas by name, to which the document's other parts refer."""

    def __init__(self) -> None:
        self.schemas: Json = {}

    def schema(self, model: Any, *, output: bool) -> Json:
        """The schema of a pydantic model, of a msgspec one, or of a list of either."""
        if get_origin(model) is list:
            (item,) = get_args(model)
            return {"type": "array", "items": self.schema(item, output=output)}
        template = REFERENCE.format("{model}")
        if _is_pydantic(model):
            mode: JsonSchemaMode = "serialization" if output else "validation"
            found, more = models_json_schema([(model, mode)], ref_template=template)
            self._add(more["$defs"])
            return dict(found[model, mode])
        (schema,), components = msgspec.json.schema_components(
            (model,), ref_template=REFERENCE.format("{name}")
        )
        self._add(components)
        return schema

    def _add(self, found: Json) -> None:
        for name, schema in found.items():
            for field in schema.get("properties", {}).values():
                field.pop("title", None)
            if self.schemas.setdefault(name, schema) != schema:
                raise ValueError(f"two models are called {name}")


def _is_pydantic(model: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(model, type) and issubclass(model, BaseModel)


def document(routes: Mapping[str, Mapping[str, Handler]]) -> Json:
    """The whole document, OpenAPI 3.1. Raises ValueError for a handler without `@answers`."""
    components = Components()
    paths = {
        path: {
            method.lower(): _operation(path, method, Endpoint(handler), components)
            for method, handler in handlers.items()
        }
        for path, handlers in routes.items()
    }
    errors = {str(status): _error(HTTPStatus(status), components) for status in ERRORS}
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": "1", "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": components.schemas,
            "responses": errors,
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def _operation(path: str, method: str, endpoint: Endpoint, components: Components) -> Json:
    noted = endpoint.answers
    if noted is None:
        raise ValueError(f"{method} {path}: its handler does not say what it answers")
    summary, _, description = (endpoint.handler.__doc__ or "").partition("\n")
    words = re.findall(r"[A-Za-z]+", path.removeprefix("/v1"))
    operation: Json = {
        "operationId": method.lower() + "".join(word.capitalize() for word in words),
        "tags": [words[0]],
        "summary": summary.strip().rstrip("."),
        "responses": {},
        **_security(endpoint.access),
    }
    roles = ", ".join(operation.get("x-roles", ()))
    whole = f"{description} {f'For keys of: {roles}.' if roles else 'Open to all.'}"
    operation["description"] = " ".join(whole.split())
    if parameters := list(_parameters(path, endpoint, noted)):
        operation["parameters"] = parameters
    if endpoint.shown_body is not None:
        content = _content(components.schema(endpoint.shown_body, output=False), components)
        operation["requestBody"] = {
            "description": f"At most {noted.max_body_bytes} bytes",
            "required": not endpoint.body_optional,
            "content": content,
        }
    responses = _responses(method, endpoint, noted, components)
    operation["responses"] = dict(sorted(responses.items()))
    return operation


def _security(access: Access) -> Json:
    """What a request has to bring where keys are demanded, and the roles that may send it."""
    if access.value is None:
        return {"security": []}
    signs: list[Json] = [{"key": []}]
    if access.value & Access.READ.value:
        signs.append({"signIn": []})
    return {"security": signs, "x-roles": [role.value for role in Role if role in access.value]}


def _parameters(path: str, endpoint: Endpoint, noted: Answers) -> Iterator[Json]:
    for name in re.findall(r"{(\w+)}", path):  # beside {id} there are UUIDs alone
        kind = endpoint.of_object(noted.path_id) if name == "id" else UUID
        schema = TypeAdapter(kind).json_schema()
        shown = {"schema": schema, "example": example(schema, {})}
        yield {"name": name, "in": "path", "required": True, **shown}
    if endpoint.query:
        model = endpoint.query.model_json_schema(by_alias=True)
        for name, schema in model["properties"].items():
            required = name in model.get("required", ())
            parameter = {"name": name, "in": "query", "required": required}
            if description := schema.pop("description", None):
                parameter["description"] = " ".join(description.split())
            yield parameter | {"schema": _without_null(schema)}


def _without_null(schema: Json) -> Json:
    """A query string has no null: a parameter that may be null is one that may be left out."""
    kept = {name: value for name, value in schema.items() if name not in ("title", "anyOf")}
    for choice in schema.get("anyOf", ()):
        if choice != {"type": "null"}:
            kept |= choice
    return {name: value for name, value in kept.items() if value is not None}


def _responses(method: str, endpoint: Endpoint, noted: Answers, components: Components) -> Json:
    content: Json = {}
    if noted.model is not None:
        schema = components.schema(endpoint.of_object(noted.model), output=True)
        content = _content(schema, components)
    for media_type, shown in noted.media.items():
        content[media_type] = {"schema": {"type": "string"}, "example": endpoint.of_object(shown)}
    headers = {name: _header(name) for name in noted.headers}
    answer = {"content": content} | ({"headers": headers} if headers else {})
    responses = {
        str(status): {"description": HTTPStatus(status).phrase} | answer
        for status in (noted.status, *noted.also)
    }
    for status in _errors(method, endpoint, noted):
        responses[str(status)] = {"$ref": f"#/components/responses/{status}"}
    return responses


def _errors(method: str, endpoint: Endpoint, noted: Answers) -> set[int]:
    """The statuses of an endpoint's errors: its own, and those that follow from what it takes."""
    statuses = set(noted.errors)
    if endpoint.query or endpoint.shown_body is not None:
        statuses.add(400)
    if method in ("POST", "PATCH"):  # their bodies are read even where the handler takes none
        statuses.add(413)
    if endpoint.shown_body is not None:
        statuses.add(415)
    if endpoint.access.value is not None:
        statuses |= {401, 403, 429, 503}
    if noted.waits:
        statuses.add(503)
    return statuses


def _error(status: HTTPStatus, components: Components) -> Json:
    content = _content(components.schema(ErrorBody, output=True), components)
    content[JSON]["example"] = error_example(status)
    response = {"description": ERRORS[status], "content": content}
    if name := HEADERS_OF_ERRORS.get(status):
        response["headers"] = {name: _header(name)}
    return response


def _content(schema: Json, components: Components) -> Json:
    return {JSON: {"schema": schema, "example": example(schema, components.schemas)}}


def _header(name: str) -> Json:
    description, schema = HEADERS[name]
    return {"description": description, "schema": schema}
