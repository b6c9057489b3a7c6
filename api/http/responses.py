"""Responses: models as JSON, with times in UTC and `Z`, and pages of lists."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

import orjson
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response


class JsonResponse(Response):
    """A model, or a list of models, as camelCase JSON."""

    media_type = "application/json"

    def __init__(
        self,
        content: BaseModel | Sequence[BaseModel],
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        *,
        exclude_unset: bool = False,
    ) -> None:
        """With `exclude_unset`, fields that were never given a value are left out."""
        if isinstance(content, BaseModel):
            plain: object = content.model_dump(by_alias=True, exclude_unset=exclude_unset)
        else:
            plain = [item.model_dump(by_alias=True) for item in content]
        body = orjson.dumps(plain, option=orjson.OPT_UTC_Z)
        super().__init__(body, status_code=status_code, headers=headers)


def list_response(
    request: Request, found: Sequence[BaseModel], limit: int, last_id: str
) -> JsonResponse:
    """The first `limit` of `found`, which holds one more when there is a next page.

    The next page has the same query with `after`: the value that the field `last_id` has in the
    last item shown.
    """
    shown = found[:limit]
    if len(found) <= limit:
        return JsonResponse(shown)
    return JsonResponse(shown, headers=next_page(request, after=getattr(shown[-1], last_id)))


def next_page(request: Request, **changes: object) -> dict[str, str]:
    """The Link header of the next page: the same query with these parameters changed."""
    query = dict(request.query_params) | {name: str(value) for name, value in changes.items()}
    return {"Link": f'<{request.scope["path"]}?{urlencode(query)}>; rel="next"'}
