"""Grafana's dashboards: the committed files are what the code makes, and every expression on them
gets an answer from a real Prometheus that scrapes real processes."""

import json
from functools import partial

import promql_parser
import pytest

from deploy.grafana.dashboards import DASHBOARDS
from deploy.grafana.form import DIRECTORY, Board, as_json
from tests.api_process import ApiProcess
from tests.exporters import exporters
from tests.kafka import send
from tests.probes import port_of
from tests.prometheus import RULE_FILES, prometheus
from tests.readings import meter_value
from tests.rights import administrator
from tests.workers import WorkerProcess, counted, wait_until


@pytest.mark.parametrize("board", DASHBOARDS, ids=lambda board: board.uid)
def test_the_files_are_what_the_code_makes(board: Board) -> None:
    text = (DIRECTORY / f"{board.uid}.json").read_text()
    assert text == as_json(board), "make dashboards"
    found = json.loads(text)
    charts = [panel for panel in found["panels"] if panel["type"] == "timeseries"]
    assert len(charts) == sum(map(len, board.rows.values()))
    assert all(chart["description"] and chart["datasource"] for chart in charts)
    ids = [panel["id"] for panel in found["panels"]]
    assert len(ids) == len(set(ids))
    assert len(list(DIRECTORY.glob("*.json"))) == len(DASHBOARDS)


def test_every_expression_gives_something(environment: dict[str, str]) -> None:
    with (
        ApiProcess(environment) as api,
        WorkerProcess(environment) as worker,
        exporters(administrator(environment)) as others,
        prometheus(
            {
                "worker": [f"127.0.0.1:{port_of(worker)}"],
                "api": [f"{api.http.base_url.host}:{api.http.base_url.port}"],
                **others,
            },
            rules=RULE_FILES,
        ) as server,
    ):
        send(environment, *(meter_value(f"M{n}") for n in range(50)))
        wait_until(lambda: counted(environment)["stored"] == 50, "they are stored")
        wait_until(lambda: server.query("sum(up) == 4"), "all are scraped")
        for board in DASHBOARDS:
            for expression in board.expressions:
                asked = expression.replace("$topic", ".*")
                promql_parser.parse(asked)
                wait_until(partial(server.query, asked), f"{board.uid}: {expression}")
            for variable in board.variables:
                label, _, metric = variable.partition(" of ")
                assert server.query(f'{metric}{{{label}!=""}}')
