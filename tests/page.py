"""Reading the page as its users do: by headings, tables and tiles, and what these should say."""

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from playwright.sync_api import Locator, Page, expect

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


def check_usable(page: Page, *, search: bool = True) -> None:
    """Landmarks, names, headers, contrast, and no scrolling sideways."""
    for landmark in ("banner", "main", "contentinfo"):
        expect(page.get_by_role(landmark)).to_have_count(1)
    expect(page.get_by_role("search")).to_have_count(int(search))
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for script in (UNNAMED, LOW_CONTRAST):
        bad = page.evaluate(script)
        assert bad == [], bad


UNNAMED = """() => {
  const bad = [];
  for (const control of document.querySelectorAll("input, select"))
    if (!control.labels.length) bad.push(control.outerHTML);
  for (const control of document.querySelectorAll("button, a[href]"))
    if (!control.textContent && !control.ariaLabel) bad.push(control.outerHTML);
  for (const table of document.querySelectorAll("table")) {
    if (!table.caption?.textContent) bad.push("a table without a caption");
    for (const head of table.querySelectorAll("thead th"))
      if (head.scope !== "col" || !head.textContent) bad.push(head.outerHTML);
    for (const row of table.tBodies[0].rows)
      if (row.cells[0].scope !== "row") bad.push(row.outerHTML);
  }
  for (const image of document.querySelectorAll("svg"))
    if (image.getAttribute("aria-hidden") !== "true" && !image.ariaLabel) bad.push("an image");
  return bad;
}"""

LOW_CONTRAST = """() => {
  const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const channels = (colour) => {
    paint.clearRect(0, 0, 1, 1);
    paint.fillStyle = colour;
    paint.fillRect(0, 0, 1, 1);
    return [...paint.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour) => {
    const [r, g, b] = channels(colour).map((c) => c / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (channels(colour)[3] === 255) return colour;
    }
    return "white";
  };
  const bad = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || element.closest("noscript, .skip, .unseen, option") || !element.checkVisibility())
      continue;
    const style = getComputedStyle(element);
    const text = element.closest("svg") ? style.fill : style.color;
    const [dim, bright] = [light(text), light(ground(element))].sort((a, b) => a - b);
    const ratio = (bright + 0.05) / (dim + 0.05);
    if (ratio < 4.5) bad.push(`${ratio.toFixed(2)} ${element.className} ${element.textContent}`);
  }
  return bad;
}"""
