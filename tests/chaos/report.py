"""What a campaign did and what it cost: one row a scenario."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path


@dataclass
class CampaignFigures:
    """One scenario. `lost` and `doubled` are readings; None when it broke off before they were
    counted."""

    scenario: str
    kills: int = 0
    restarts: int = 0
    readings: int = 0
    lost: int | None = None
    doubled: int | None = None
    seconds: float = 0.0
    held: bool = False
    """Whether everything was as it had to be in the end."""


def table(figures: Sequence[CampaignFigures]) -> str:
    """A Markdown table, the sums last."""
    names = [field.name for field in fields(CampaignFigures)]
    rows = [_row(f) for f in figures]
    rows.append(_row(_sum(figures)))
    widths = [max(len(row[n]) for row in [names, *rows]) for n in range(len(names))]
    rule = ["-" * widths[0]] + ["-" * (width - 1) + ":" for width in widths[1:-1]] + ["-" * 4]
    lines = [_line(names, widths), _line(rule, widths), *(_line(row, widths) for row in rows)]
    return "\n".join(lines)


def write(figures: Sequence[CampaignFigures], directory: Path) -> None:
    """Leave the figures as chaos.md and chaos.json."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "chaos.md").write_text(table(figures) + "\n", encoding="utf-8")
    rows = [asdict(f) for f in figures]
    (directory / "chaos.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def _sum(figures: Sequence[CampaignFigures]) -> CampaignFigures:
    return CampaignFigures(
        "all",
        sum(f.kills for f in figures),
        sum(f.restarts for f in figures),
        sum(f.readings for f in figures),
        sum(f.lost or 0 for f in figures),
        sum(f.doubled or 0 for f in figures),
        sum(f.seconds for f in figures),
        all(f.held for f in figures),
    )


def _row(f: CampaignFigures) -> list[str]:
    counts = ["?" if count is None else f"{count:,}" for count in (f.lost, f.doubled)]
    figures = [f"{f.kills:,}", f"{f.restarts:,}", f"{f.readings:,}", *counts, f"{f.seconds:.0f}"]
    return [f.scenario, *figures, "yes" if f.held else "NO"]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = cells[0].ljust(widths[0])
    rest = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return f"| {' | '.join([first, *rest])} |"
