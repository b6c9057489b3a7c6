"""The page where keys are demanded: who signs in sees what their role may do, nobody else anything.

/docs takes a key as well.
"""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from schemas.streams import VEHICLE as VEHICLES
from tests.acceptance.conftest import Opener
from tests.api_process import ApiProcess
from tests.connections import connect
from tests.keys import make_key
from tests.page import check_usable, panel
from tests.workers import command

VEHICLE = "VH-secret"
SIZES = {"phone": (375, 812), "desk": (1366, 900)}
REVOKED_SHOWS_MS = 30_000
FOR_ALL = ("/", "/static/", "/v1/session")
"""What the page asks for while nobody is signed in."""


@pytest.fixture(scope="module")
def api(environment: dict[str, str]) -> Iterator[httpx.Client]:
    """An API that demands keys, and has a rejected reading."""
    with connect(environment) as connection:
        connection.execute("INSERT INTO vehicles (vehicle_id) VALUES (%s)", (VEHICLE,))
        connection.execute(
            'INSERT INTO rejected_records (group_id, topic, partition, "offset", record_ms,'
            " device_id, reason, detail, raw) VALUES (%s, %s, 0, 0, 0, %s, 'invalid', '', '{')",
            (environment["KAFKA_GROUP_ID"], environment["KAFKA_VEHICLE_TOPIC"], VEHICLE),
        )
    make_key(environment, "metrics")  # without any key it would not start
    with ApiProcess({**environment, "APP_AUTH": "keys"}) as process:
        yield process.http


def sign_in(page: Page, key: dict[str, Any]) -> None:
    page.get_by_label("Key").fill(key["key"])
    page.keyboard.press("Enter")
    expect(page.locator("#caller-name")).to_have_text(f"{key['name']} · {key['role']}")


def signed_out(page: Page) -> None:
    """Waits for the form; nothing of what was shown is left."""
    expect(page.get_by_label("Key")).to_be_focused()
    expect(page.locator("#caller")).to_be_hidden()
    expect(page.get_by_role("search")).to_have_count(0)
    expect(page.get_by_role("region")).to_have_count(0)
    assert VEHICLE not in page.content() + page.title()
    assert page.locator("#wanted").input_value() == ""


def test_nobody_sees_anything_before_signing_in(api: httpx.Client, opened: Opener) -> None:
    asked: list[str] = []
    page = opened("about:blank")
    page.on("request", lambda request: asked.append(httpx.URL(request.url).path))
    page.clock.install()
    page.goto(f"{api.base_url}/#vehicle={VEHICLE}")
    expect(page.get_by_label("Key")).to_be_focused()
    page.clock.run_for(120_000)
    assert page.title() == "Charging fleet" and VEHICLE not in page.content()
    expect(page.get_by_role("search")).to_have_count(0)
    assert all(path == "/" or path.startswith(FOR_ALL[1:]) for path in asked), asked
    assert asked.count("/v1/session") == 1


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_sign_in(
    api: httpx.Client, environment: dict[str, str], opened: Opener, scheme: str, size: str
) -> None:
    width, height = SIZES[size]
    viewport = {"width": width, "height": height}
    page = opened(str(api.base_url), color_scheme=scheme, viewport=viewport)
    field = page.get_by_label("Key")
    field.fill("eie_wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("That is no key")
    expect(field).to_be_focused()
    check_usable(page, search=False)
    sign_in(page, make_key(environment, "operator"))
    expect(page.get_by_role("main")).to_be_focused()
    expect(panel(page, "Rejected readings").locator("tbody tr").first).to_be_visible()
    check_usable(page)


def test_the_key_is_kept_nowhere(
    api: httpx.Client, environment: dict[str, str], opened: Opener
) -> None:
    key = make_key(environment, "analyst")
    urls: list[str] = []
    page = opened(str(api.base_url))
    page.on("request", lambda request: urls.append(request.url))
    sign_in(page, key)
    expect(panel(page, "Rejected readings").locator("tbody tr").first).to_be_visible()
    secret = key["key"].rpartition("_")[2]
    kept = page.evaluate(
        "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
    )
    assert kept == '[{},{},""]'
    assert secret not in page.content() + " ".join([page.url, *urls])
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/")
    assert secret not in cookie["value"]
    page.reload()
    expect(page.locator("#caller-name")).to_contain_text(key["name"])


def test_an_operator_replays_and_retires_an_analyst_cannot(
    api: httpx.Client, environment: dict[str, str], opened: Opener
) -> None:
    page = opened(str(api.base_url))
    sign_in(page, make_key(environment, "analyst"))
    part = panel(page, "Rejected readings")
    expect(part.locator("tbody tr")).to_have_count(1)
    part.get_by_text("The newest", exact=True).click()
    expect(part.get_by_text("Bytes")).to_be_visible()
    expect(page.get_by_role("button", name="Replay")).to_have_count(0)
    expect(page.get_by_role("button", name="Retire")).to_have_count(0)
    page.get_by_role("button", name="Sign out").click()
    signed_out(page)
    sign_in(page, make_key(environment, "operator"))
    part.get_by_text("The newest", exact=True).click()
    page.get_by_role("button", name="Replay").click()
    expect(part.locator(".result")).to_contain_text("Still not valid, malformed")

    silent = panel(page, "Silent devices")
    retire = silent.get_by_role("button", name=f"Retire vehicle {VEHICLE}")
    retire.click()
    expect(silent).to_contain_text(f"{VEHICLE} is retired.")
    expect(retire).to_have_count(0)
    page.get_by_role("button", name="Undo").press("Enter")  # it has the focus
    expect(silent.get_by_text(f"{VEHICLE} is back.")).to_be_focused()
    expect(silent).to_contain_text(f"{VEHICLE} is back.")
    retire.click()
    silent.get_by_text("Retired devices", exact=True).click()
    silent.get_by_role("button", name=f"Bring back vehicle {VEHICLE}").click()
    expect(retire).to_be_visible()
    expect(silent).to_contain_text("None. A retired device counts as silent no more.")


def test_signing_out_forgets_what_was_shown(
    api: httpx.Client, environment: dict[str, str], opened: Opener
) -> None:
    page = opened(str(api.base_url))
    sign_in(page, make_key(environment, "analyst"))
    expect(panel(page, "Rejected readings")).to_contain_text(VEHICLE)
    page.locator("#wanted").focus()
    expect(page.locator("#known option")).to_have_count(1)
    (cookie,) = page.context.cookies()
    page.get_by_role("button", name="Sign out").click()
    signed_out(page)
    expect(page.locator("#connection-state")).to_be_empty()
    assert page.context.cookies() == []
    sent = {"Cookie": f"{cookie['name']}={cookie['value']}"}
    assert api.get("/v1/devices/vehicles", headers=sent).status_code == 401


def test_a_revoked_key_leads_back_to_the_form(
    api: httpx.Client, environment: dict[str, str], opened: Opener
) -> None:
    key = make_key(environment, "operator")
    page = opened(f"{api.base_url}/#vehicle={VEHICLE}")
    sign_in(page, key)
    expect(page.get_by_role("heading", level=1)).to_contain_text(VEHICLE)
    assert command(environment, "api", "keys", "revoke", key["id"]).returncode == 0
    expect(page.get_by_role("alert")).to_contain_text("signed out", timeout=REVOKED_SHOWS_MS)
    signed_out(page)
    sign_in(page, make_key(environment, "operator"))
    expect(page.get_by_role("heading", level=1)).to_contain_text(VEHICLE)


def test_a_vehicles_readings_as_csv(
    api: httpx.Client, environment: dict[str, str], opened: Opener
) -> None:
    page = opened(f"{api.base_url}/#vehicle={VEHICLE}")
    sign_in(page, make_key(environment, "analyst"))
    with page.expect_download() as download:
        page.get_by_role("link", name="Its readings, as CSV").click()
    assert download.value.suggested_filename == f"{VEHICLE}.csv"
    assert "&safe=true" in download.value.url
    assert download.value.path().read_text() == ",".join(VEHICLES.json_names) + "\n"


def test_what_a_role_may_not_do_is_said(
    api: httpx.Client, environment: dict[str, str], opened: Opener
) -> None:
    page = opened(str(api.base_url))
    page.get_by_label("Key").fill(make_key(environment, "gateway")["key"])
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("role gateway cannot sign in")
    sign_in(page, make_key(environment, "operator"))
    panel(page, "Rejected readings").get_by_text("The newest", exact=True).click()
    expect(page.get_by_role("button", name="Replay")).to_be_visible()
    analyst = make_key(environment, "analyst")  # in another tab of the same browser
    page.context.request.post(f"{api.base_url}/v1/session", data={"key": analyst["key"]})
    page.get_by_role("button", name="Replay").click()
    told = panel(page, "Rejected readings").locator(".result")
    expect(told).to_have_text("A key of role analyst may not do this")


def test_the_documentation_takes_a_key(
    api: httpx.Client, environment: dict[str, str], opened: Opener
) -> None:
    page = opened(f"{api.base_url}/docs#/analytics/getAnalyticsLimits")
    status = page.locator(".live-responses-table .response .response-col_status")
    execute = page.get_by_role("button", name="Execute")
    execute.click()
    expect(status).to_contain_text("401")
    page.get_by_role("button", name="Authorize", exact=True).click()
    bearer = page.locator(".auth-container").filter(has_text="bearer")
    bearer.get_by_role("textbox").fill(make_key(environment, "analyst")["key"])
    bearer.get_by_role("button", name="Apply credentials").click()
    bearer.get_by_role("button", name="Close").click()
    execute.click()
    expect(status).to_contain_text("200")
