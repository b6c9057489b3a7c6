"""Chromium without a screen, for the tests of the page.

The one CHROMIUM names, else the one on the PATH, else Debian's package, which is installed where
that can be done. No test is skipped because there is none.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
INSTALL = (
    ("apt-get", "update", "-qq"),
    ("apt-get", "install", "-qq", "-y", "--no-install-recommends", "chromium"),
)
INSTALL_LIMIT_S = 600
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
    if found := _on_path():
        return found
    if os.geteuid() == 0 and shutil.which("apt-get"):
        for words in INSTALL:
            done = subprocess.run(
                words,
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=INSTALL_LIMIT_S,
                check=False,
            )
            if done.returncode != 0:
                pytest.fail(
                    f"{MISSING}\n{' '.join(words)}: {done.stdout}{done.stderr}", pytrace=False
                )
    return _on_path() or pytest.fail(MISSING, pytrace=False)


def _on_path() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser with a fresh profile of its own."""
    path = executable()
    flags = [*FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        try:
            yield browser
        finally:
            browser.close()
