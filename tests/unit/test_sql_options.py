"""What `python -m sql` takes on its command line; nothing is connected to for what it does not."""

import subprocess
import sys

import pytest

from reporting.command import BAD_INPUT_STATUS
from tests.workers import ROOT


def run(*words: str) -> tuple[int, str]:
    """The exit status, and the last line of stderr."""
    command = [sys.executable, "-m", "sql", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr.splitlines()[-1]


@pytest.mark.parametrize("shards", ["0", "65", "-2", "four", "2.5", "²"])
def test_shards_are_a_number_within_bounds(shards: str) -> None:
    status, said = run("distribute", f"--shards={shards}")
    assert status == BAD_INPUT_STATUS
    assert said == f"error: argument --shards: {shards!r} is no number from 1 to 64"


def test_what_is_undone_takes_no_shards() -> None:
    status, said = run("distribute", "--undo", "--shards", "4")
    assert status == BAD_INPUT_STATUS
    assert said == "error: argument --shards: not allowed with argument --undo"
