"""A browser, and pages in it that fail their test when a script or the policy complains."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page

from tests.chromium import chromium

PATIENCE_MS = 60_000
NO_ANSWER = "Failed to load resource"
"""What the browser itself notes of a request that failed: an outage is no fault of the page."""

Opener = Callable[..., Page]


@pytest.fixture(scope="module")
def browser(environment: dict[str, str]) -> Iterator[Browser]:
    """Comes after the environment: while it is there, this thread can run no event loop."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def opened(browser: Browser) -> Iterator[Opener]:
    """Opens a URL in a fresh context; options are those of a context, as `color_scheme`."""
    complaints: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and NO_ANSWER not in message.text:
            complaints.append(message.text)

    def dismiss(dialog: Dialog) -> None:
        complaints.append(f"a dialog: {dialog.message}")
        dialog.dismiss()

    def open_page(url: str, **options: object) -> Page:
        page = browser.new_context(**options).new_page()  # type: ignore[arg-type]
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", note)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", dismiss)
        page.goto(url)
        return page

    yield open_page
    for context in browser.contexts:
        context.close()
    assert complaints == []
