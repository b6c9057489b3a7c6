"""Exchanges of devices as the HTTP API takes and gives them: another one took over the id."""

from datetime import datetime
from uuid import UUID

from schemas.fields import DEFAULT_PAGE, Amount, Input, Output, PageLimit, Query, Time
from schemas.streams.times import format_micros, to_micros


class NewExchange(Input):
    """When a device was exchanged, and what the registers showed, as far as that is known."""

    at: Time
    last_of_old: Amount | None = None
    """The last value of the old one's register, in kWh."""
    first_of_new: Amount | None = None
    """The first value of the new one's register, in kWh."""


class Exchange(Output):
    """An exchange of a device; what its registers showed is in kWh, null where it is not known."""

    exchange_id: UUID
    at: datetime
    last_of_old: float | None
    first_of_new: float | None
    created_at: datetime

    @property
    def cursor(self) -> str:
        """Its place in a list."""
        return format_micros(to_micros(self.at))


class ExchangePage(Query):
    """At most `limit` exchanges of a device, oldest first, that come after the time `after`."""

    limit: PageLimit = DEFAULT_PAGE
    after: Time | None = None
