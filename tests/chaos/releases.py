"""The code of the release before this one, out of the repository's own history."""

import io
import subprocess
import tarfile
from pathlib import Path

from tests.workers import ROOT

PREVIOUS = "4821e6bdf89b22b2e40736c345bf585050791696"
"""The commit of the release before, which an upgrade comes from: 0.2.0."""
FETCH_LIMIT_S = 60.0


def unpack_previous(directory: Path, commit: str = PREVIOUS, repository: Path = ROOT) -> Path:
    """Unpack that release's files there; a clone that lacks them asks its origin first."""
    if _git(repository, "cat-file", "-e", f"{commit}^{{commit}}").returncode != 0:
        _git(repository, "fetch", "--quiet", "--depth=1", "origin", commit)
    done = _git(repository, "archive", commit)
    assert done.returncode == 0, (
        f"the release before, {commit}, is not in this clone, and origin did not give it:"
        " `git fetch --unshallow --tags` brings the whole history"
    )
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as files:
        files.extractall(directory, filter="data")
    return directory


def _git(repository: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["git", "-C", str(repository), *words],
        capture_output=True,
        timeout=FETCH_LIMIT_S,
        check=False,
    )
