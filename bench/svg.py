"""Bar charts as SVG: a few bars with their labels and values, readable on light and dark pages."""

from typing import NamedTuple
from xml.sax.saxutils import escape

WIDTH = 720
LABEL_WIDTH = 230
VALUE_WIDTH = 110
BAR = 18
GAP = 6
GROUP_GAP = 14
TOP = 56
BOTTOM = 34
COLOURS = ("#2f6fab", "#e08e2b", "#6a9f58", "#a0a7b0")


class Bar(NamedTuple):
    """One bar; bars that follow each other with one label make a group, told apart by `series`."""

    label: str
    value: float
    series: str = ""


def chart(title: str, unit: str, bars: list[Bar], note: str) -> str:
    """The chart as a whole SVG document; `note` stands below, in small letters."""
    series = list(dict.fromkeys(bar.series for bar in bars))
    largest = max((bar.value for bar in bars), default=0) or 1
    room = WIDTH - LABEL_WIDTH - VALUE_WIDTH
    parts, y, label = [], float(TOP), None
    for bar in bars:
        if bar.label != label:
            y += GROUP_GAP if label is not None else 0
            label = bar.label
            parts.append(_text(LABEL_WIDTH - 10, y + BAR - 5, label, anchor="end"))
        colour = COLOURS[series.index(bar.series) % len(COLOURS)]
        length = max(bar.value / largest * room, 1)
        parts.append(
            f'<rect x="{LABEL_WIDTH}" y="{y:g}" width="{length:.1f}" height="{BAR}"'
            f' rx="2" fill="{colour}"/>'
        )
        parts.append(_text(LABEL_WIDTH + length + 8, y + BAR - 5, f"{short(bar.value)} {unit}"))
        y += BAR + GAP
    height = y + BOTTOM
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}"'
            f' width="{WIDTH}" height="{height:g}" font-family="sans-serif" font-size="13">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{WIDTH}" height="{height:g}" rx="6" fill="#ffffff"/>',
            _text(16, 24, title, size=16),
            *_legend(series),
            *parts,
            _text(16, height - 12, note, size=11, colour="#5c6570"),
            "</svg>\n",
        ]
    )


def short(value: float) -> str:
    """Three digits, thousands with commas."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _legend(series: list[str]) -> list[str]:
    if series in ([], [""]):
        return []
    parts, x = [], float(LABEL_WIDTH)
    for number, name in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        parts.append(f'<rect x="{x:g}" y="34" width="12" height="12" rx="2" fill="{colour}"/>')
        parts.append(_text(x + 18, 44, name))
        x += 40 + 8 * len(name)
    return parts


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", size: int = 13, colour: str = "#1f2933"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:g}" text-anchor="{anchor}" font-size="{size}"'
        f' fill="{colour}">{escape(text)}</text>'
    )
