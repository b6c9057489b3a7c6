"""Whom alerts are told to, as ALERT_WEBHOOKS names them: addresses, and secrets to sign with.

An address may be a secret itself, as those of chat systems are: nothing but scheme and host is
ever shown, with a digest that tells two of one host apart.
"""

import binascii
from base64 import b64decode
from enum import StrEnum
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

ALERTMANAGER = "alertmanager+"
SECRET_PREFIX = "whsec_"  # noqa: S105
"""Of a secret as https://www.standardwebhooks.com has it: what follows is base64."""
MIN_SECRET_BYTES = 24
DIGEST_CHARACTERS = 8


class TargetKind(StrEnum):
    """What a target understands."""

    WEBHOOK = "webhook"
    ALERTMANAGER = "alertmanager"


class AlertTarget(NamedTuple):
    """One that alerts are told to over HTTP."""

    name: str
    """What may be shown of it."""
    kind: TargetKind
    url: str
    secrets: tuple[bytes, ...] = ()
    """What it is signed with: one of them has to do."""

    @property
    def host(self) -> str:
        """Its host's name or address."""
        return urlsplit(self.url).hostname or ""

    @property
    def is_encrypted(self) -> bool:
        """Whether it is reached by TLS."""
        return self.url.startswith("https:")


def parse_targets(text: str) -> list[AlertTarget]:
    """The targets that a text names, comma separated. Raises ValueError, which shows no secret."""
    targets = [_parse(word.strip(), place) for place, word in enumerate(text.split(","), 1) if word]
    if len({target.url for target in targets}) < len(targets):
        raise ValueError("one address stands there twice")
    return targets


def _parse(text: str, place: int) -> AlertTarget:
    what = f"the address number {place}"
    kind = TargetKind.ALERTMANAGER if text.startswith(ALERTMANAGER) else TargetKind.WEBHOOK
    try:
        parts = urlsplit(text.removeprefix(ALERTMANAGER))
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        raise ValueError(f"{what} is not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{what} does not begin with https://, http:// or {ALERTMANAGER}http")
    if parts.fragment and kind is TargetKind.ALERTMANAGER:
        raise ValueError(f"{what}: an Alertmanager looks at no signature")
    secrets = tuple(_secret(one, what) for one in parts.fragment.split("&") if one)
    url = urlunsplit(parts._replace(fragment=""))
    digest = sha256(url.encode()).hexdigest()[:DIGEST_CHARACTERS]
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return AlertTarget(f"{kind} {parts.scheme}://{host}{port} {digest}", kind, url, secrets)


def _secret(text: str, what: str) -> bytes:
    try:
        if not text.startswith(SECRET_PREFIX):
            raise ValueError
        secret = b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{what}: after # stands {SECRET_PREFIX} and base64") from None
    if len(secret) < MIN_SECRET_BYTES:
        raise ValueError(f"{what}: a secret has at least {MIN_SECRET_BYTES} bytes")
    return secret
