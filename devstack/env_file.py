"""The file that tells other commands how to reach the stack: a line `NAME=value` a variable."""

from pathlib import Path

from devstack.data_dir import write_atomically
from devstack.errors import DevstackError

CONTROL = "DEVSTACK_CONTROL"


def write_environment(path: Path, environment: dict[str, str], *, secret: bool) -> None:
    """Write the file atomically: a reader that sees it sees every line.

    With a secret in it, nobody else may read it.
    """
    lines = "".join(f"{name}={value}\n" for name, value in environment.items())
    write_atomically(path, lines, secret=secret)


def read_environment(path: Path) -> dict[str, str]:
    """The variables that `up` wrote. Raises DevstackError when the file cannot be read."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise DevstackError(
            f"{path} can't be read ({error.strerror}); is `devstack up` running?"
        ) from error
    return dict(line.split("=", 1) for line in lines if "=" in line)
