"""Text from outside, made safe to store and to show: device ids, errors, bytes."""

import re

MAX_ID_CHARACTERS = 64
MAX_LINE_CHARACTERS = 500
"""Of an error's text: what comes from outside may be of any length."""
ID_PATTERN = r"^[^\x00-\x1f\x7f-\x9f]*$"
"""The pattern that JSON schemas show for ids; `check_id` is what checks them."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def check_id(device_id: str) -> str:
    """Return a valid device id. Raises ValueError or TypeError saying what is wrong with it."""
    if not isinstance(device_id, str):
        raise TypeError("the id is not a string")
    if not 1 <= len(device_id) <= MAX_ID_CHARACTERS:
        raise ValueError(f"the id must have 1 to {MAX_ID_CHARACTERS} characters")
    if _CONTROL.search(device_id):
        raise ValueError("the id has a control character")
    return device_id


def storable(text: str) -> str:
    """Return text that PostgreSQL can store. Raises ValueError saying what it cannot."""
    if "\x00" in text:
        raise ValueError("must not contain the NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must not contain lone surrogates") from None
    return text


def one_line(error: object) -> str:
    """An error's text as one line that PostgreSQL can store; its class when it has no text.

    It is cut to MAX_LINE_CHARACTERS.
    """
    text = str(error)[: MAX_LINE_CHARACTERS * 2]
    line = " ".join(text.split()).replace("\x00", "\\0")
    line = line.encode(errors="backslashreplace").decode()
    if len(line) > MAX_LINE_CHARACTERS:
        line = line[: MAX_LINE_CHARACTERS - 1] + "…"
    return line or type(error).__name__


def printable(raw: bytes) -> str:
    """Bytes as text without commands for a terminal: printable characters and escapes only."""
    text = raw.decode("utf-8", "backslashreplace")
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
