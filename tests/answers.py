"""What every answer of the API has in common."""

from typing import Any

import httpx


def check_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The body of an error; fails unless it has this status and the form of the contract."""
    assert answer.status_code == status, answer.text[:300]
    assert answer.headers["Content-Type"] == "application/json"
    body: dict[str, Any] = answer.json()
    assert set(body) == {"statusCode", "message", "details", "timestamp", "path"}
    assert body["statusCode"] == status and body["timestamp"].endswith("Z")
    assert "Traceback" not in answer.text and "<html" not in answer.text.lower()
    return body
