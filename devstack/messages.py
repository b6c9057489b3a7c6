"""How devstack speaks: one line on stderr for what it does, one exception for what it can't."""

import sys


class DevstackError(Exception):
    """Something the caller can act on; its text is one clear sentence (a log's tail may follow)."""


def say(text: str) -> None:
    """Tells what is going on, on stderr: stdout stays free for results."""
    print(f"devstack: {text}", file=sys.stderr, flush=True)
