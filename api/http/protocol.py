"""The JSON error body also for bytes that are not HTTP."""

from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from schemas.errors import ErrorBody
from schemas.fields import utc_now


class JsonErrorProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with the API's own answer to what cannot be parsed."""

    def send_400_response(self, msg: str) -> None:
        """Answer 400 and close the connection. Without a request, `path` is empty."""
        body = ErrorBody(
            status_code=400, message=msg, details=None, timestamp=utc_now(), path=""
        ).model_dump(by_alias=True)
        content = orjson.dumps(body, option=orjson.OPT_UTC_Z)
        transport: Any = self.transport
        transport.write(
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (len(content), content)
        )
        transport.close()
