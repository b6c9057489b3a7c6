"""What devstack says to the person who runs it."""

import sys


def say(text: str) -> None:
    """Print a line on stderr; stdout stays free for results."""
    print(f"devstack: {text}", file=sys.stderr, flush=True)
