"""What a handler takes and answers: requests are read accordingly, and /openapi.json shows it.

A handler takes the request and, if it has these parameters, `query` and `body`, which are read by
their annotated models before it is called. `@answers` says what it answers.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from inspect import Parameter, signature
from operator import attrgetter
from typing import Any, TypeVar, get_type_hints

from starlette.requests import Request
from starlette.responses import Response

from api.http.bodies import MAX_BODY_BYTES
from api.http.inputs import read_input, read_query
from schemas.fields import DeviceId, Input, Query
from schemas.keys import Access

JSON = "application/json"
Handler = Callable[..., Awaitable[Response]]
AHandler = TypeVar("AHandler", bound=Handler)


@dataclass(frozen=True)
class Answers:
    """What a handler answers to a good request, and which errors are its own.

    A model given as text names an attribute of the handler's object: so one handler can serve
    several kinds of things.
    """

    model: Any
    """The model of the JSON body; None when there is no such body."""
    status: int = 200
    errors: tuple[int, ...] = ()
    """The statuses that do not follow from what the handler takes, as 400, 413, 415 and 503 do."""
    body: Any = None
    """The model of the request's JSON body, where no annotation of the handler can name it."""
    max_body_bytes: int = MAX_BODY_BYTES
    """How large the request's body may be; a larger one is answered with 413."""
    path_id: Any = DeviceId
    """The type of {id}, where the path has one."""
    headers: tuple[str, ...] = ()
    media: Mapping[str, str] = field(default_factory=dict)
    """Other media types of the same answer; each names the attribute that holds an example."""
    also: tuple[int, ...] = ()
    """Other statuses that come with the same body."""
    waits: bool = True
    """Whether it waits for PostgreSQL or Kafka, and so may answer 503."""


def answers(model: Any, status: int = 200, **more: Any) -> Callable[[AHandler], AHandler]:
    """A decorator that notes on a handler what it answers, as the fields of `Answers`."""

    def note(handler: AHandler) -> AHandler:
        vars(handler)["answers"] = Answers(model, status, **more)
        return handler

    return note


def allows(access: Access) -> Callable[[AHandler], AHandler]:
    """A decorator that notes on a handler who may use it. Each handler of a route needs it."""

    def note(handler: AHandler) -> AHandler:
        vars(handler)["access"] = access
        return handler

    return note


class Endpoint:
    """A handler with what it takes and answers."""

    def __init__(self, handler: Handler) -> None:
        """Raises ValueError for a handler that does not say who may use it."""
        access: Access | None = getattr(handler, "access", None)
        if access is None:
            raise ValueError(f"{handler.__qualname__} does not say who may use it: @allows")
        self.access = access
        self.handler = handler
        self.answers: Answers | None = getattr(handler, "answers", None)
        self.max_body_bytes = self.answers.max_body_bytes if self.answers else MAX_BODY_BYTES
        self._object = getattr(handler, "__self__", None)
        hints = get_type_hints(handler)
        self.query: type[Query] | None = hints.get("query")
        self.body: type[Input] | None = hints.get("body")
        self.shown_body: Any = self.body
        if self.answers and self.answers.body is not None:
            self.shown_body = self.of_object(self.answers.body)
            if self.body:
                self.body = self.shown_body
        parameters = signature(handler).parameters
        self.body_optional = bool(self.body) and parameters["body"].default is not Parameter.empty

    def of_object(self, model: Any) -> Any:
        """The model, or the attribute of the handler's object that a text names."""
        return attrgetter(model)(self._object) if isinstance(model, str) else model

    async def __call__(self, request: Request) -> Response:
        """Read the request and answer it. Raises ApiError 400, 413, 415 or the handler's error."""
        arguments: dict[str, Any] = {}
        if self.query:
            arguments["query"] = read_query(request, self.query)
        if self.body:
            optional = self.body_optional
            arguments["body"] = await read_input(request, self.body, optional=optional)
        return await self.handler(request, **arguments)
