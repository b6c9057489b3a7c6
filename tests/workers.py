"""Worker processes as an operator runs them, and what tests wait for."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from psycopg.rows import dict_row

from tests.connections import connect
from tests.rights import API, OWNER, WORKER, role

PATIENCE_S = 60.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.02, 0.25
ROOT = Path(__file__).parent.parent
RUNS = "metrics and health on port"
COUNTED = """
    SELECT coalesce(sum(read), 0)::bigint AS read, coalesce(sum(stored), 0)::bigint AS stored,
        coalesce(sum(duplicate), 0)::bigint AS duplicate,
        coalesce(sum(rejected), 0)::bigint AS rejected
    FROM ingest_offsets
"""


def wait_until(condition: Callable[[], Any], what: str, *, patience_s: float = PATIENCE_S) -> Any:
    """Poll until the condition holds and return its value; fails saying what did not happen."""
    deadline = time.monotonic() + patience_s
    pause_s = FIRST_PAUSE_S
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {patience_s:.0f} s: {what}"
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.3, LONGEST_PAUSE_S)
    return value


def command(
    environment: dict[str, str], *words: str, root: Path = ROOT, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run `python -m words...` in the environment; output is captured as text.

    `root` has the code: this one, or another release's. What changes the schema, rights or keys
    runs as the owner.
    """
    if words == ("api",):
        environment = role(environment, API)
    elif (words[0] == "sql" or "keys" in words) and environment.get("DB_USERNAME") == WORKER:
        environment = role(environment, OWNER)
    return subprocess.run(
        [sys.executable, "-m", *words],
        env={**os.environ, **environment},
        cwd=root,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S * 2,
        check=False,
        **options,
    )


def counted(environment: dict[str, str]) -> dict[str, int]:
    """Readings read so far and what became of them, over all partitions; cheap to poll."""
    with connect(environment) as connection:
        connection.row_factory = dict_row
        found = connection.execute(COUNTED).fetchone()
    return dict(found or {})


def books(environment: dict[str, str], *options: str) -> dict[str, Any]:
    """What `reconcile --json` says; fails when they do not balance."""
    done = command(environment, "ingest_worker", "reconcile", "--json", *options)
    assert done.stdout, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (0 if report["balanced"] else 1), done.stderr
    assert report["balanced"], report
    return report


def books_of(environment: dict[str, str], *topics: str) -> dict[str, int]:
    """The books of these topics, which balance with all others."""
    rows = [row for row in books(environment)["partitions"] if row["topic"] in topics]
    counts = ("read", "stored", "duplicate", "rejected")
    return {count: sum(row[count] for row in rows) for count in counts}


class WorkerProcess:
    """One `python -m ingest_worker`; killed at the end unless it has ended before."""

    def __init__(self, environment: dict[str, str], root: Path = ROOT) -> None:
        self._log = tempfile.NamedTemporaryFile(prefix="worker-", suffix=".log")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ingest_worker"],
            env={**os.environ, **environment},
            cwd=root,
            stderr=self._log,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.kill()
        self._log.close()

    @property
    def log(self) -> str:
        """Everything it has said so far."""
        return Path(self._log.name).read_text()

    def says(self, text: str) -> None:
        """Wait until its log holds the text."""
        wait_until(lambda: text in self.log, f"the worker says {text!r}:\n{self.log}")

    def says_again(self, text: str) -> None:
        """Wait until its log holds the text once more than now."""
        before = self.log.count(text)
        wait_until(lambda: self.log.count(text) > before, f"the worker says {text!r} again")

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        """SIGTERM, once it runs and handles signals; returns the exit status."""
        self.says(RUNS)
        self.process.terminate()
        return self.process.wait(PATIENCE_S)
