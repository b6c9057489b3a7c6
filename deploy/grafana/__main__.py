"""Writes the dashboards: `make dashboards`."""

from deploy.grafana.dashboards import DASHBOARDS
from deploy.grafana.form import DIRECTORY, as_json


def main() -> None:
    """Write a file for each dashboard."""
    for dashboard in DASHBOARDS:
        (DIRECTORY / f"{dashboard.uid}.json").write_text(as_json(dashboard))


if __name__ == "__main__":
    main()
