"""Programs that tests need beside Python's: the ones on the PATH, else Debian's packages.

A package is installed where that can be done. No test is skipped because a program is missing.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

COMMANDS = (
    ("apt-get", "update", "-qq"),
    ("apt-get", "install", "-qq", "-y", "--no-install-recommends"),
)
LIMIT_S = 600
ADMINISTRATORS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where Debian keeps servers; not every user has them on the PATH."""


def program(package: str, *names: str, missing: str) -> str:
    """The path of the first of these programs; installs the package when there is none.

    Fails the test with `missing` when that cannot be done.
    """
    if found := _found(names):
        return found
    if os.geteuid() == 0 and shutil.which("apt-get"):
        with Path(tempfile.gettempdir(), "energy-tests-apt.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the tests of another process may install, too
            if not _found(names):
                _install(package, missing)
    return _found(names) or pytest.fail(missing, pytrace=False)


def _install(package: str, missing: str) -> None:
    update, install = COMMANDS
    for words in (update, (*install, package)):
        done = subprocess.run(
            words,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        if done.returncode != 0:
            pytest.fail(f"{missing}\n{' '.join(words)}: {done.stdout}{done.stderr}", pytrace=False)


def _found(names: tuple[str, ...]) -> str | None:
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *ADMINISTRATORS])
    return next((found for name in names if (found := shutil.which(name, path=path))), None)
