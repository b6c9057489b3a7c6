"""How a run with several worker processes spreads the tests over them.

Tests of one group run in one process, one after the other, and share its fixtures. The groups that
take longest begin first, as the last one to end decides how long the run takes.
"""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

GROUPS = (
    (
        "tests/chaos/test_cluster.py",
        "tests/integration/test_devstack.py::test_three_secure_brokers",
    ),
    ("tests/chaos/test_campaign.py", "tests/chaos/test_postgres.py::test_away"),
    ("tests/integration/test_api_outages.py",),
    ("tests/acceptance/test_page.py",),
    ("tests/acceptance/test_other_servers.py",),
    (
        "tests/chaos/test_kafka.py::test_only_broker_killed",
        "tests/chaos/test_kafka.py::test_connections_stall",
        "tests/chaos/test_kafka.py::test_a_corrupt_batch",
        "tests/integration/test_worker_process.py::test_a_worker_lives",
        "tests/integration/test_worker_process.py::test_a_worker_waits_for_what",
    ),
    (
        "tests/chaos/test_postgres.py::test_killed",
        "tests/chaos/test_postgres.py::test_too_many",
        "tests/chaos/test_postgres.py::test_read_only",
        "tests/chaos/test_postgres.py::test_disk_full",
        "tests/integration/test_api_rejected.py::test_a_replay_does_not_hang",
    ),
    ("tests/integration/test_openapi.py",),
    ("tests/acceptance/test_demo.py",),
    ("tests/acceptance/test_page_states.py",),
    ("tests/integration/test_devstack.py",),
)
"""Beginnings of test ids, the longest groups first."""
ALONE = "tests/chaos/"
"""Each scenario there is a group of its own."""


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out whole groups, in the order of the tests."""

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def group_of(test_id: str) -> str:
    """The name of the test's group: as a rule, its module."""
    place = _place(test_id)
    if place < len(GROUPS):
        return GROUPS[place][0]
    return test_id if test_id.startswith(ALONE) else test_id.partition("::")[0]


def longest_first(items: list[pytest.Item]) -> None:
    """Sort the tests: the listed groups, the other scenarios of the chaos suite, all others."""
    items.sort(key=lambda item: _place(item.nodeid))


def _place(test_id: str) -> int:
    for place, group in enumerate(GROUPS):
        if test_id.startswith(group):
            return place
    return len(GROUPS) + (not test_id.startswith(ALONE))
