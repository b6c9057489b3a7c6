"""Alerts of the figures: found once for all by one process of the API, kept as rows with a life."""
