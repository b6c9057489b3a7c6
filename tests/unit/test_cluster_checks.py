"""What nodes answer, and what is said of it before tables are spread over them."""

from collections.abc import Collection
from typing import Any

import pytest

from sql.cluster_checks import gigabytes, of_answers

FINE = {
    "encoding": "UTF8",
    "collation": "C",
    "citus": "14.0-1",
    "prepared": 200,
    "wal_level": "replica",
}


NODES = ("one:1", "two:2")


def said(second: dict[str, Any], *, logical: Collection[str] = ()) -> list[str]:
    """What is said of two nodes, of which one differs in this."""
    return list(of_answers(dict(zip(NODES, (FINE, FINE | second), strict=True)), logical=logical))


def test_nodes_that_are_alike_and_take_prepared_transactions_are_fine() -> None:
    assert said({}) == []


@pytest.mark.parametrize("name", ["encoding", "collation", "citus"])
def test_nodes_that_differ_are_named_with_what_they_have(name: str) -> None:
    line = f"the nodes differ in {name}: one:1 {FINE[name]}, two:2 another"
    assert said({name: "another"}) == [line]


def test_a_node_without_prepared_transactions_is_named() -> None:
    line = "two:2 takes no prepared transactions: max_prepared_transactions is 0"
    assert said({"prepared": 0}) == [line]


def test_only_moving_shards_under_writes_needs_logical_replication() -> None:
    lines = [f"{node} has wal_level=replica: set it to logical, and restart" for node in NODES]
    assert said({}, logical=NODES) == lines
    assert said({"wal_level": "logical"}, logical=NODES) == lines[:1]


def test_sizes_are_said_in_what_is_easy_to_read() -> None:
    assert gigabytes(1_300_000_000_000) == "1,300.0 GB"
    assert gigabytes(81_500_000) == "81.5 MB"
