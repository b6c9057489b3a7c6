"""What a dashboard of ours is, and how it becomes Grafana's JSON."""

from itertools import count
from pathlib import Path
from typing import NamedTuple

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    LegendDisplayMode,
    LegendPlacement,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, DataSourceRef

DIRECTORY = Path(__file__).parent / "dashboards"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
PANEL_HEIGHT, PANELS_A_ROW, COLUMNS = 8, 2, 24


class Query(NamedTuple):
    """A line, or lines, of a panel."""

    expression: str
    legend: str


class Panel(NamedTuple):
    """A chart over time."""

    title: str
    unit: str
    """Grafana's name of it: short, s, bytes, percentunit, dateTimeFromNow, none."""
    description: str
    queries: tuple[Query, ...]


class Board(NamedTuple):
    """A dashboard: rows of panels."""

    uid: str
    title: str
    tag: str
    """Whom it is for."""
    rows: dict[str, tuple[Panel, ...]]
    variables: tuple[str, ...] = ()
    """Labels to choose by, each with a metric that has it: `topic of energy_api_lag_records`."""

    @property
    def expressions(self) -> list[str]:
        """Every expression in it."""
        panels = (panel for row in self.rows.values() for panel in row)
        return [query.expression for panel in panels for query in panel.queries]


def as_json(board: Board) -> str:
    """The dashboard as Grafana imports it."""
    made = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .tags(["energy", board.tag])
        .refresh("30s")
        .time("now-6h", "now")
        .timezone("utc")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("Source").type("prometheus")
        )
    )
    for variable in board.variables:
        label, _, metric = variable.partition(" of ")
        made = made.with_variable(
            dashboard.QueryVariable(label)
            .query(f"label_values({metric}, {label})")
            .datasource(SOURCE)
            .multi(True)
            .include_all(True)
            .all_value(".*")
        )
    numbers = count(1)
    for title, panels in board.rows.items():
        made = made.with_row(dashboard.Row(title).id(next(numbers)))
        for panel in panels:
            made = made.with_panel(_chart(panel).id(next(numbers)))
    return JSONEncoder(sort_keys=True, indent=1).encode(made.build()) + "\n"


def _chart(panel: Panel) -> timeseries.Panel:
    chart = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.description)
        .unit(panel.unit)
        .min(0)
        .height(PANEL_HEIGHT)
        .span(COLUMNS // PANELS_A_ROW)
        .fill_opacity(8)
        .datasource(SOURCE)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    for letter, query in zip("ABCDEFGH", panel.queries, strict=False):
        target = prometheus.Dataquery().expr(query.expression).legend_format(query.legend)
        chart = chart.with_target(target.ref_id(letter))
    return chart
