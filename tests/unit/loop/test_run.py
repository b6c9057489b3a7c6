"""A worker process whose housekeeping or monitor dies ends with one line and exit status 1."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DYING = """
import sys
from ingest_worker import __main__, run

async def at_once(*_):
    pass

async def dies(*_):
    raise ValueError("a bug")

async def runs(*_):
    await run.asyncio.Event().wait()

class FakeGroup:
    def __init__(self, *_):
        pass
    async def stop(self):
        pass

class FakeWorker:
    def __init__(self, *arguments):
        self.stopping = arguments[-1]
    def behind(self):
        return False
    async def run(self):
        await self.stopping.wait()

run.wait_for_database = run.wait_for_kafka = at_once
run.new_consumer = lambda *_: None
run.keep_house = run.watch_positions = run.watch_kafka = runs
run.watch_claims = run.watch_topics = runs
run.Source = run.Membership = FakeGroup
run.Worker = FakeWorker
setattr(run, sys.argv.pop(), dies)
sys.exit(__main__.main())
"""


@pytest.mark.parametrize(
    ("function", "task"),
    [
        ("keep_house", "housekeeping"),
        ("watch_positions", "positions"),
        ("watch_kafka", "kafka"),
        ("watch_claims", "claims"),
        ("watch_topics", "topics"),
    ],
)
def test_a_side_task_that_dies_ends_the_process(function: str, task: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DYING, function],
        cwd=ROOT,
        env={"METRICS_PORT": "0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last == f"error: side task {task} died: ValueError: a bug"
    assert "Traceback" in done.stderr
    assert "stopped" in done.stderr
