"""Reading the page as its users do: by headings, tables and tiles, and what these should say."""

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from playwright.sync_api import Locator, Page

NOTHING = "–"


def panel(page: Page, title: str) -> Locator:
    """The part of the page under this heading."""
    return page.get_by_role("region", name=title, exact=True)


def tile(part: Locator, name: str) -> str:
    """The number of a tile."""
    found = part.locator(".tile").filter(has=part.page.get_by_text(name, exact=True))
    return found.locator("strong").inner_text()


def note(part: Locator, name: str) -> str:
    """What stands below a tile's number."""
    found = part.locator(".tile").filter(has=part.page.get_by_text(name, exact=True))
    return found.locator(".note").inner_text()


def rows(part: Locator) -> list[list[str]]:
    """The texts of a table's rows, cell by cell; those hidden in a closed part included."""
    script = "rows => rows.map(row => [...row.children].map(cell => cell.textContent))"
    found: list[list[str]] = part.locator("tbody tr").evaluate_all(script)
    return found


def tenths(value: float | None, unit: str = "") -> str:
    """A number as the page shows it, to a tenth."""
    if value is None:
        return NOTHING
    rounded = Decimal(value).quantize(Decimal("0.1"), ROUND_HALF_UP)
    return f"{rounded:,}{unit}"


def percent(ratio: float | None) -> str:
    """A ratio of the API as the page shows it."""
    return NOTHING if ratio is None else tenths(round(ratio * 100, 6), " %")


def clock(time: str) -> str:
    """A time of the API as the page shows it, to the minute; those long ago with their day."""
    near = abs(datetime.now(UTC) - datetime.fromisoformat(time)) < timedelta(hours=12)
    return time[11:16] if near else f"{time[:10]} {time[11:16]}"


def reasons(stats: dict[str, Any]) -> dict[str, int]:
    """Rejected readings by reason over all topics."""
    found: dict[str, int] = {}
    for topic in stats["topics"]:
        for reason, number in topic["rejected"]["byReason"].items():
            found[reason] = found.get(reason, 0) + number
    return found
