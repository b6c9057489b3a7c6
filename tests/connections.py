"""Connections of the tests themselves, beside the software under test."""

from typing import Any

import psycopg


def connect(environment: dict[str, str]) -> psycopg.Connection[Any]:
    """An autocommit connection to the environment's database."""
    return psycopg.connect(
        host=environment["DB_HOST"],
        port=environment["DB_PORT"],
        user=environment.get("DB_USERNAME", "postgres"),
        password=environment.get("DB_PASSWORD", "postgres"),
        dbname=environment["DB_DATABASE"],
        autocommit=True,
    )
