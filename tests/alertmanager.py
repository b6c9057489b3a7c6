"""A real Alertmanager, Debian's, and what its own tool says of it."""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from devstack.ports import LOOPBACK, Ports
from tests.debian import program
from tests.workers import PATIENCE_S, wait_until

PACKAGE = "prometheus-alertmanager"
MISSING = f"these tests need Alertmanager: install the package {PACKAGE}"
CONFIGURATION = "{route: {receiver: nobody}, receivers: [{name: nobody}]}"


def active(url: str) -> list[dict[str, Any]]:
    """The alerts that `amtool` lists."""
    tool = program(PACKAGE, "amtool", missing=MISSING)
    words = [tool, f"--alertmanager.url={url}", "alert", "query", "--output=json"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@contextmanager
def alertmanager() -> Iterator[str]:
    """A running one; yields its URL."""
    ports = Ports()
    listen = f"{LOOPBACK}:{ports.take()}"
    with tempfile.TemporaryDirectory(prefix="alertmanager-") as name:
        directory = Path(name)
        file = directory / "alertmanager.yml"
        file.write_text(CONFIGURATION)
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(
                [
                    program(PACKAGE, PACKAGE, "alertmanager", missing=MISSING),
                    f"--config.file={file}",
                    f"--storage.path={directory / 'data'}",
                    f"--web.listen-address={listen}",
                    "--cluster.listen-address=",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_until(lambda: process.poll() is not None or _ready(f"http://{listen}"), "ready")
            assert process.poll() is None, (directory / "log").read_text()
            yield f"http://{listen}"
        finally:
            process.terminate()
            process.wait(PATIENCE_S)
            ports.close()


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready").is_success
    except httpx.TransportError:
        return False
