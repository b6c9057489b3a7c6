"""Which readings of a device a client asks for, and in which form."""

from datetime import timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from schemas.analytics import WindowQuery

MAX_READINGS = 1_000_000


class HistoryQuery(WindowQuery):
    """A window of at most 366 days, and at most `limit` readings of it."""

    longest: ClassVar[timedelta] = timedelta(days=366)

    limit: Annotated[int, Field(ge=1, le=MAX_READINGS)] | None = None
    """All readings of the window, when it is not given."""
    format: Literal["json", "csv"] = "json"
    corrected: bool = True
    """False: readings as they were sent, whatever corrections made of them."""
    safe: bool = False
    """For CSV that a spreadsheet will open: a text that it would run, since it begins with one of
    `=`, `+`, `-`, `@`, gets a `'` before it. Numbers stay as they are."""
