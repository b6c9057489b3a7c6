"""Keys for the tests, made by the command that operators use."""

import json
from typing import Any

from tests.workers import command


def keys(environment: dict[str, str], *words: str) -> Any:
    """What `python -m api keys words... --json` prints; fails when it ends with an error."""
    done = command(environment, "api", "keys", *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def make_key(environment: dict[str, str], role: str, *options: str) -> dict[str, Any]:
    """A new key of this role: `key`, `id`, `name` and so on."""
    made: dict[str, Any] = keys(environment, "create", "--name", f"a {role}", "--role", role, *options)
    return made


def bearer(key: dict[str, Any] | str) -> dict[str, str]:
    """The header that brings a key."""
    return {"Authorization": f"Bearer {key if isinstance(key, str) else key['key']}"}
