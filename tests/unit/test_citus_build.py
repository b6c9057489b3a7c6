"""Building Citus says what is missing or wrong, and so do its tests when there is no cluster."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from devstack import citus_build
from devstack.errors import DevstackError
from tests.cluster import HOST, SOURCE

RIGHT = f"PACKAGE_VERSION='{citus_build.VERSION}'"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def source(directory: Path, configure: str) -> Path:
    """A folder of source."""
    directory.mkdir()
    (directory / "configure").write_text(f"#!/bin/sh\n{configure}\n")
    (directory / "configure").chmod(0o755)
    return directory


def test_missing_tools_are_named(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DevstackError, match="not found: gcc, make"):
        citus_build.wheel_with_citus(source(tmp_path / "source", RIGHT))


def test_what_is_no_source_of_citus_is_refused(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(DevstackError, match="neither a folder of Citus' source nor a git dir"):
        citus_build.wheel_with_citus(tmp_path)
    with pytest.raises(DevstackError, match="it takes a folder of its source"):
        citus_build.wheel_with_citus(None)


def test_another_version_is_refused(cache: Path, tmp_path: Path) -> None:
    other = source(tmp_path / "source", "PACKAGE_VERSION='9.0.0'")
    with pytest.raises(DevstackError, match=f"not the source of Citus {citus_build.VERSION}"):
        citus_build.wheel_with_citus(other)


def test_a_failed_build_shows_why_and_leaves_no_wheel(cache: Path, tmp_path: Path) -> None:
    failing = source(tmp_path / "source", f"{RIGHT}\necho no such compiler\nexit 1")
    with pytest.raises(DevstackError, match=r"configure .* failed\nno such compiler\n\(the log"):
        citus_build.wheel_with_citus(failing)
    left = {path.name for path in (cache / "energy-ingestion" / "citus").iterdir()}
    assert {name.rpartition(".")[2] for name in left} == {"lock", "log"}


def test_tests_on_a_cluster_say_what_they_need() -> None:
    names = {name: value for name, value in os.environ.items() if name not in (SOURCE, HOST)}
    words = [sys.executable, "-m", "pytest", "tests/distributed"]
    done = subprocess.run(words, env=names, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "Tests on a Citus cluster need one." in done.stderr
    assert SOURCE in done.stderr and HOST in done.stderr
