"""The compose files as `docker compose` reads them, merged where there are two; needs no engine.

The rules are those of the Compose specification, as far as these files use them.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import SecretStr

from schemas.settings import Settings

ROOT = Path(__file__).parent.parent
BASE = "docker-compose.yml"
PRODUCTION = "docker-compose.production.yml"
REPLACED = ("command", "entrypoint", "test")
"""Lists that a file on top replaces; it adds to all others."""
HEALTHY, DONE = "service_healthy", "service_completed_successfully"


@dataclass(frozen=True)
class Tagged:
    """A value marked !override, which replaces what is below it, or !reset, which removes it."""

    tag: str
    value: Any


class _Loader(yaml.SafeLoader):
    pass


def _reset(loader: yaml.SafeLoader, node: yaml.Node) -> Tagged:
    return Tagged("!reset", None)


def _override(loader: yaml.SafeLoader, node: yaml.SequenceNode) -> Tagged:
    return Tagged("!override", loader.construct_sequence(node, deep=True))


_Loader.add_constructor("!reset", _reset)
_Loader.add_constructor("!override", _override)


def read(name: str) -> dict[str, Any]:
    """One file, as it stands there."""
    content: dict[str, Any] = yaml.load((ROOT / name).read_text(encoding="utf-8"), _Loader)
    return content


def read_merged() -> dict[str, Any]:
    """What `docker compose -f docker-compose.yml -f docker-compose.production.yml` runs."""
    below, above = read(BASE), read(PRODUCTION)
    for name, service in above["services"].items():
        if source := service.pop("extends", None):
            assert source["file"] == BASE
            above["services"][name] = merged(below["services"][source["service"]], service)
    return merged(below, above)


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """A mapping with another one on top."""
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        if isinstance(value, Tagged) and value.tag == "!reset":
            result.pop(key, None)
        elif isinstance(value, Tagged):
            result[key] = value.value
        elif isinstance(value, dict) and isinstance(under, dict):
            result[key] = merged(under, value)
        elif isinstance(value, list) and isinstance(under, list) and key not in REPLACED:
            result[key] = under + [item for item in value if item not in under]
        else:
            result[key] = value
    return result


def filled(text: object, **environment: str) -> str:
    """A text of compose's with its variables replaced; what is not given is not set."""
    innermost = re.compile(r"(?<!\$)\$\{(\w+)(?::([-+?])([^${}]*))?\}")

    def value(match: re.Match[str]) -> str:
        name, operator, word = match.groups(default="")
        given = environment.get(name, "")
        if operator == "+":
            return word if given else ""
        assert given or operator != "?", f"{name} is missing: {word}"
        return given or word

    filled, count = str(text), 1
    while count:
        filled, count = innermost.subn(value, filled)
    return filled


def defaults() -> dict[str, str]:
    """Each setting's default as it is written in an environment; empty where there is none."""
    return {name.upper(): _written(field.default) for name, field in Settings.model_fields.items()}


def _written(value: Any) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
