"""Dashboards for Grafana, made by code: `python -m deploy.grafana` writes them as JSON."""
