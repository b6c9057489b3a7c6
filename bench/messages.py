"""What the benchmarks say to the person who runs them."""

import sys


def say(text: str) -> None:
    """Print a line on stderr; stdout stays free for the table."""
    print(f"bench: {text}", file=sys.stderr, flush=True)
