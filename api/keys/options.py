"""The options of `python -m api keys`, each checked where it is read."""

import argparse
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from schemas.keys import ID_ALPHABET, ID_CHARACTERS, Role
from schemas.text import MAX_ID_CHARACTERS, check_id, storable

MAX_DAYS = 36_500
DEFAULT_GRACE = "1h"
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_SPAN = re.compile(r"([0-9]{1,9})([smhd])")
_ID = re.compile(rf"[{ID_ALPHABET}]{{{ID_CHARACTERS}}}")


def add_keys(parser: argparse.ArgumentParser) -> None:
    """Add the commands about keys to the API's own parser."""
    commands = parser.add_subparsers(dest="command", metavar="keys")
    keys = commands.add_parser("keys", help="make, list, revoke and rotate keys")
    actions = keys.add_subparsers(dest="action", required=True)

    command = actions.add_parser("create", help="make a key; it is printed once, on stdout")
    text = f"whose it is, 1 to {MAX_ID_CHARACTERS} characters; need not be unique"
    command.add_argument("--name", required=True, type=_name, help=text)
    command.add_argument("--role", required=True, choices=[role.value for role in Role])
    text = "what the ids begin with that a gateway may send for (default: any)"
    command.add_argument(
        "--devices", type=_prefixes, default=[], metavar="PREFIX[,PREFIX]", help=text
    )
    text = "2026-12-31 (its beginning in UTC), a time, or 30d, 12h from now (default: never)"
    command.add_argument("--expires", type=_expiry, metavar="DATE|30d", help=text)
    shown = command.add_mutually_exclusive_group()
    _add_json(shown)
    text = "write the key to this new file instead; where there is one, make no key"
    shown.add_argument("--file", type=Path, metavar="PATH", help=text)

    _add_json(actions.add_parser("list", help="every key, without its secret"))
    command = actions.add_parser("revoke", help="end a key, in every process within 5 s")
    command.add_argument("id", type=_id, metavar="ID")
    command = actions.add_parser("rotate", help="a new secret for a key; the old one has a grace")
    command.add_argument("id", type=_id, metavar="ID")
    text = f"how long the old secret is good, such as 0, 30m, 1h or 2d (default {DEFAULT_GRACE})"
    command.add_argument("--grace", type=_grace, default=DEFAULT_GRACE, help=text)
    _add_json(command)


def _add_json(command: argparse._ActionsContainer) -> None:
    command.add_argument("--json", action="store_true", help="print JSON")


def _name(text: str) -> str:
    try:
        return storable(check_id(text))
    except ValueError as error:
        why = str(error).replace("the id", "the name")
        raise argparse.ArgumentTypeError(f"{text!r}: {why}") from None


def _prefixes(text: str) -> list[str]:
    try:
        return [storable(check_id(prefix)) for prefix in text.split(",")]
    except ValueError as error:
        why = str(error).replace("the id", "each prefix")
        raise argparse.ArgumentTypeError(f"{text!r}: {why}") from None


def _id(text: str) -> str:
    """A key's id. The text is in no error: it may be a whole key."""
    if not _ID.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"a key's id has {ID_CHARACTERS} characters: eie_<id>_<secret>; `keys list` shows them"
        )
    return text


def _span(text: str) -> timedelta | None:
    """30d, 12h, 15m or 10s; None for what is none, or too long."""
    if not (found := _SPAN.fullmatch(text)):
        return None
    span = timedelta(**{UNITS[found[2]]: int(found[1])})
    return span if span <= timedelta(days=MAX_DAYS) else None


def _grace(text: str) -> timedelta:
    span = timedelta() if text == "0" else _span(text)
    if span is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 0, 30m, 1h or 2d")
    return span


def _expiry(text: str) -> datetime:
    now = datetime.now(UTC)
    if (span := _span(text)) is not None:
        expires = now + span
    else:
        try:
            time = datetime.fromisoformat(text)
            expires = (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError):
            allowed = "2026-12-31, 2026-12-31T12:00:00Z, 30d or 12h"
            raise argparse.ArgumentTypeError(f"{text!r} is not a time such as {allowed}") from None
    if expires <= now:
        raise argparse.ArgumentTypeError(f"{text!r} does not lie ahead")
    return expires
