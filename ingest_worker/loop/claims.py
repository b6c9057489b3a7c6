"""Which database reads a partition: two that share one group id would split the data between them.

Each database has an identity, which its workers write into the metadata of the group's commits. A
partition that another database claims is stopped until an operator says which is right: `positions
set` takes it over on purpose. Metadata that is none of ours, or none at all, claims nothing.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_CLAIM = re.compile(f"energy:({_UUID})(?: held:({_UUID}))?")


class Claim(NamedTuple):
    """What a commit says of a partition."""

    owner: str
    """The database that reads it."""
    holder: str | None
    """Another one, to whose worker the group has given it: there it is stopped."""
    offset: int
    """What was committed."""


def claim_of(owner: str, holder: str | None = None) -> str:
    """The metadata of a commit; nothing when the owner is not known."""
    return f"energy:{owner}{f' held:{holder}' if holder else ''}" if owner else ""


def claims_in(
    committed: Mapping[TopicPartition, OffsetAndMetadata],
) -> dict[TopicPartition, Claim]:
    """Whose each partition is, where a commit says so."""
    found = {
        partition: _CLAIM.fullmatch(offset.metadata or "")
        for partition, offset in committed.items()
    }
    return {
        partition: Claim(match[1], match[2], committed[partition].offset)
        for partition, match in found.items()
        if match
    }


def why_stopped(other: str) -> str:
    """What an operator is told of a partition that another database claims."""
    return (
        f"database {other} reads it under the same group id: give one of the two another"
        " KAFKA_GROUP_ID, or take it over with `positions set`"
    )
