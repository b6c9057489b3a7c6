"""What pages of other sites can do in a real browser: nothing, whatever name they come by."""

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route

from tests.acceptance.conftest import PATIENCE_MS
from tests.api_process import ApiProcess
from tests.chromium import chromium

EVIL = "http://evil.example"
RESOLVER = "--host-resolver-rules=MAP evil.example 127.0.0.1"
UNGUARDED = "--disable-features=LocalNetworkAccessChecks"
"""As in browsers that let any site ask for addresses of the own network."""
METER = '{"meterId":"EVIL"}'
FIELD = """<input name='{"meterId":"EVIL","location":"' value='"}'>"""
"""With the = between name and value, it is JSON."""
FRAME = """(url) => document.body.append(
  Object.assign(document.createElement("iframe"), { src: url }))"""
BLOCKED = ("chrome-error://chromewebdata/", "about:blank#blocked")
FETCH = """async ([url, options]) => {
  try { return (await fetch(url, options)).type; } catch (error) { return error.name; }
}"""


@pytest.fixture(scope="module")
def api(environment: dict[str, str]) -> Iterator[httpx.Client]:
    with ApiProcess(environment) as process:
        yield process.http


@pytest.fixture(scope="module")
def session_id(api: httpx.Client) -> str:
    """An active session, that others would like to end."""
    api.post("/v1/devices/meters", json={"meterId": "M"}).raise_for_status()
    api.post("/v1/devices/vehicles", json={"vehicleId": "V"}).raise_for_status()
    pair = {"meterId": "M", "vehicleId": "V"}
    started = api.post("/v1/sessions/start", json=pair).raise_for_status()
    return str(started.json()["sessionId"])


@pytest.fixture(scope="module")
def evil_browser(environment: dict[str, str]) -> Iterator[Browser]:
    """It comes to our own address by the name evil.example."""
    with chromium(RESOLVER, UNGUARDED) as browser:
        yield browser


def evil_page(browser: Browser, html: str, at: str = EVIL) -> Page:
    """A page of the other site."""

    def answer(route: Route) -> None:
        route.fulfill(content_type="text/html", body=f"<!doctype html>{html}")

    page = browser.new_context().new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.route(f"{at}/evil", answer)
    page.goto(f"{at}/evil")
    page.unroute_all()  # the driver would answer preflights itself
    return page


def answered(api: httpx.Client, method: str, status: int) -> int:
    """How many requests of this method the API has answered so; the browser itself hides it."""
    pattern = rf'energy_api_requests_total{{method="{method}",.*status="{status}"}} (\S+)'
    return sum(int(float(count)) for count in re.findall(pattern, api.get("/metrics").text))


def unchanged(api: httpx.Client, session_id: str) -> bool:
    meters = [meter["meterId"] for meter in api.get("/v1/devices/meters").json()]
    return meters == ["M"] and api.get(f"/v1/sessions/{session_id}").json()["isActive"]


@pytest.mark.parametrize("field", ["", FIELD], ids=["no body", "JSON as text"])
def test_a_foreign_form(
    api: httpx.Client, session_id: str, evil_browser: Browser, field: str
) -> None:
    path = "/v1/devices/meters" if field else f"/v1/sessions/{session_id}/end"
    url = f"{api.base_url}{path}"
    form = f"<form method=post enctype=text/plain action='{url}'>{field}<button>Win</button></form>"
    page = evil_page(evil_browser, form)
    with page.expect_response(url) as answer:
        page.get_by_role("button").click()
    assert answer.value.status == 403 and "another site" in answer.value.text()
    assert unchanged(api, session_id)


@pytest.mark.parametrize(
    "options",
    [
        {"method": "POST", "mode": "no-cors", "credentials": "include"},
        {"method": "POST", "mode": "no-cors", "body": METER},
        {"method": "POST", "mode": "cors", "headers": {"Content-Type": "application/json"}},
        {"method": "PATCH", "mode": "cors", "body": METER},
    ],
    ids=["no body", "plain text", "JSON", "another method"],
)
def test_a_foreign_fetch(
    api: httpx.Client, session_id: str, evil_browser: Browser, options: dict[str, object]
) -> None:
    page = evil_page(evil_browser, "")
    preflighted = options["mode"] == "cors"
    answer = ("OPTIONS", 405) if preflighted else ("POST", 403)
    before = answered(api, *answer)
    for path in ("/v1/devices/meters", f"/v1/sessions/{session_id}/end"):
        assert page.evaluate(FETCH, [f"{api.base_url}{path}", options]) in ("opaque", "TypeError")
    assert answered(api, *answer) == before + 2
    assert unchanged(api, session_id)


def test_a_foreign_page_reads_nothing(
    api: httpx.Client, session_id: str, evil_browser: Browser
) -> None:
    page = evil_page(evil_browser, "")
    assert page.evaluate(FETCH, [f"{api.base_url}/v1/devices/meters", {}]) == "TypeError"


def test_a_name_that_was_pointed_here(
    api: httpx.Client, session_id: str, evil_browser: Browser
) -> None:
    at = f"{EVIL}:{api.base_url.port}"
    page = evil_page(evil_browser, "", at)
    for path in ("/", "/docs", "/static/app.js", "/v1/devices/meters", "/health"):
        status, text = page.evaluate(
            "async (path) => { const a = await fetch(path); return [a.status, await a.text()]; }",
            path,
        )
        assert status == 421 and "APP_ALLOWED_HOSTS" in text
    end = f"/v1/sessions/{session_id}/end"
    assert page.evaluate("async (p) => (await fetch(p, {method: 'POST'})).status", end) == 421
    answer = page.goto(f"{at}/")
    assert answer is not None and answer.status == 421
    assert unchanged(api, session_id)


@pytest.mark.parametrize("path", ["/", "/docs", "/v1/devices/meters"])
def test_a_frame_of_a_foreign_page_shows_nothing(
    api: httpx.Client, evil_browser: Browser, path: str
) -> None:
    page = evil_page(evil_browser, "")
    with (
        page.expect_response(f"{api.base_url}{path}") as answer,
        page.expect_event("framenavigated", lambda frame: frame.url in BLOCKED),
    ):
        page.evaluate(FRAME, f"{api.base_url}{path}")
    assert answer.value.ok
