"""The file that tells other commands where the stack is: a line `NAME=value` for each variable."""

from pathlib import Path

from devstack.data_dir import write_atomically
from devstack.errors import DevstackError

CONTROL = "DEVSTACK_CONTROL"


def write_environment(path: Path, environment: dict[str, str]) -> None:
    """Writes all of it at once: whoever sees the file sees all lines."""
    write_atomically(path, "".join(f"{name}={value}\n" for name, value in environment.items()))


def read_environment(path: Path) -> dict[str, str]:
    """What `up` wrote.

    Raises:
        DevstackError: the file is not there.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise DevstackError(
            f"{path} can't be read ({error.strerror}); is `devstack up` running?"
        ) from error
    return dict(line.split("=", 1) for line in lines if "=" in line)
