"""Chromium without a screen, for the tests of the page.

The one CHROMIUM names, else the one on the PATH, else Debian's package, which is installed where
that can be done. No test is skipped because there is none.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.debian import program

NAMES = ("chromium", "chromium-browser", "google-chrome")
MISSING = (
    "the page's tests need Chromium: install the package chromium, "
    "or set CHROMIUM to the path of one (CHROMIUM=/path/to/chrome make test)"
)
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def executable() -> str:
    """The path of a Chromium; installs one when there is none. Fails the test when it can't."""
    if named := os.environ.get("CHROMIUM"):
        return shutil.which(named) or pytest.fail(
            f"CHROMIUM={named}: no such program", pytrace=False
        )
    return program("chromium", *NAMES, missing=MISSING)


@contextmanager
def chromium(*more_flags: str) -> Iterator[Browser]:
    """A browser with a fresh profile of its own."""
    path = executable()
    flags = [*FLAGS, *more_flags, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        try:
            yield browser
        finally:
            browser.close()
