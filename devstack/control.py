"""The unix socket by which `stop`, `kill`, `start`, `freeze` and `thaw` reach a running stack.

The services have to stay children of `up`, so `up` listens on the socket and does the work itself.
A request is one line of JSON, and so is its answer.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from devstack.errors import DevstackError
from devstack.messages import say

if TYPE_CHECKING:
    from devstack.stack import Stack

ACTIONS = {
    "stop": "stop a service cleanly",
    "kill": "kill a service with -9, all its processes",
    "start": "start a service again on its port and data; returns once it answers",
    "freeze": "stop all processes of a service with SIGSTOP, as they are",
    "thaw": "let a frozen service go on with SIGCONT",
}
MAX_SOCKET_PATH_BYTES = 100
"""The kernel's limit is 108 bytes."""
LOOK_EVERY_S = 0.5
"""How often `up` looks whether a service has ended by itself."""
REQUEST_LIMIT_S = 5.0
PLAIN = re.compile(r"[\w/.+-]+")
"""A path that a shell reads as one word in the environment file."""


class Control:
    """The listening side of the socket."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._reported: set[str] = set()
        self._own_directory: str | None = None
        self.path = stack.data_dir / "control"
        if len(os.fsencode(self.path)) > MAX_SOCKET_PATH_BYTES or not PLAIN.fullmatch(
            str(self.path)
        ):
            self._own_directory = tempfile.mkdtemp(prefix="energy-control-")
            self.path = Path(self._own_directory) / "control"
        self.path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.path))
        self._listener.listen()
        self._listener.settimeout(LOOK_EVERY_S)

    def close(self) -> None:
        """Stop listening and remove the socket."""
        self._listener.close()
        self.path.unlink(missing_ok=True)
        if self._own_directory:
            shutil.rmtree(self._own_directory, ignore_errors=True)

    def serve(self) -> None:
        """Answer one request after the other until a signal raises Interrupted."""
        while True:
            self._report_deaths()
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            with connection:
                try:
                    self._answer(connection)
                except (OSError, ValueError) as error:
                    say(f"a request broke off: {error}")

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(REQUEST_LIMIT_S)
        with connection.makefile("r", encoding="utf-8") as stream:
            request = json.loads(stream.readline())
        failure = None
        try:
            self._do(str(request["action"]), str(request["service"]))
        except DevstackError as error:
            failure = str(error)
        connection.sendall(json.dumps({"error": failure}).encode() + b"\n")

    def _do(self, action: str, name: str) -> None:
        if action not in ACTIONS:
            raise DevstackError(f"there is no action {action}")
        service = self._stack.service(name)
        say(f"{action} {service.name}")
        try:
            getattr(service, action)()
        finally:
            if service.running:
                self._reported.discard(service.name)
            else:
                self._reported.add(service.name)

    def _report_deaths(self) -> None:
        """Say once that a service has ended although nobody asked for it."""
        for service in self._stack.services.values():
            if not service.running and service.name not in self._reported:
                self._reported.add(service.name)
                say(f"{service.name} ended by itself\n{service.log_tail()}")


def answers(path: Path) -> bool:
    """Whether a stack listens on the socket `path`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        return connection.connect_ex(str(path)) == 0


def request(path: Path, action: str, service: str) -> None:
    """Ask the stack that listens on `path` for an action; return once it is done.

    Raises DevstackError when no stack listens there, or when the action failed.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(str(path))
            connection.sendall(json.dumps({"action": action, "service": service}).encode() + b"\n")
            with connection.makefile("r", encoding="utf-8") as stream:
                line = stream.readline()
        except OSError as error:
            raise DevstackError(
                f"no stack answers at {path} ({error.strerror}); is `devstack up` running?"
            ) from error
    if not line:
        raise DevstackError(f"`devstack up` ended before it was done with {action} {service}")
    if failure := json.loads(line)["error"]:
        raise DevstackError(failure)
