"""Keys for the tests, made by the command that operators use, and clients that bring them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.api_process import CLIENT_TIMEOUT_S
from tests.workers import command

Key = dict[str, Any]
NOBODYS = f"eie_{'a' * 12}_{'0' * 64}"
"""It has the form of a key, but was never made."""


def keys(environment: dict[str, str], *words: str) -> Any:
    """What `python -m api keys words... --json` prints; fails when it ends with an error."""
    done = command(environment, "api", "keys", *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def make_key(environment: dict[str, str], role: str, *options: str) -> Key:
    """A new key of this role: `key`, `id`, `name` and so on."""
    made: Key = keys(environment, "create", "--name", f"some {role}", "--role", role, *options)
    return made


def revoke(environment: dict[str, str], key: Key) -> None:
    """End the key."""
    done = command(environment, "api", "keys", "revoke", key["id"])
    assert done.returncode == 0, done.stderr


def bearer(key: Key | str) -> dict[str, str]:
    """The header that brings a key."""
    return {"Authorization": f"Bearer {key if isinstance(key, str) else key['key']}"}


@contextmanager
def client_from(address: str, api: httpx.Client) -> Iterator[httpx.Client]:
    """A client of the same API that comes from another loopback address, such as 127.0.0.9."""
    transport = httpx.HTTPTransport(local_address=address)
    with httpx.Client(
        base_url=api.base_url, transport=transport, timeout=CLIENT_TIMEOUT_S
    ) as client:
        yield client
