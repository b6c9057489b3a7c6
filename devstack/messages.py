"""What devstack says to the person who runs it."""

import sys

from reporting.logs import as_json, json_line


def say(text: str) -> None:
    """Print a line on stderr; stdout stays free for results."""
    level = "error" if text.startswith("error: ") else "info"
    line = json_line(level, "devstack", text, {}) if as_json() else f"devstack: {text}"
    print(line, file=sys.stderr, flush=True)
