"""What a process waits for, by name: each change is said on the log once, not once a try."""

import logging
from collections.abc import Mapping
from typing import Any

from schemas.text import one_line

NOT_CONNECTED = "not connected yet"
"""The reason of what nobody has tried to reach yet."""
NO_RIGHT = "42501"
"""PostgreSQL's SQLSTATE of what a role may not do."""
WHAT_GRANTS = "; `python -m sql status` says what its role lacks, `sql grant` gives it"

log = logging.getLogger(__name__)


class Waiting:
    """The things that are missing, each with the reason why it cannot be used.

    One thread changes it; others may read `reasons`, a mapping that never changes once it is seen.
    """

    def __init__(self, reasons: Mapping[str, str], *, what: str = "not ready") -> None:
        """`reasons`: what is missing from the start; the log does not mention it.

        `what` is the log's word for it.
        """
        self.reasons: Mapping[str, str] = dict(reasons)
        self._what = what

    def missing(
        self, name: str, why: object, *, level: int = logging.WARNING, **fields: Any
    ) -> None:
        """Note that `name` cannot be used; `why` is an error or a text, kept as one line.

        `fields` are further ones of the log's line, such as `partition` or `sqlstate`.
        """
        sqlstate = fields.get("sqlstate") or getattr(why, "sqlstate", None)
        reason = one_line(why) + (WHAT_GRANTS if sqlstate == NO_RIGHT else "")
        if self.reasons.get(name) != reason:
            self.reasons = {**self.reasons, name: reason}
            fields |= {"sqlstate": sqlstate, "subject": name, "reason": reason}
            log.log(level, "%s: %s: %s", self._what, name, reason, extra=fields)

    def judged(self, name: str, why: str | None) -> None:
        """Note that `name` cannot be used, or can be when `why` is None."""
        if why is None:
            self.present(name)
        else:
            self.missing(name, why)

    def present(self, name: str) -> None:
        """Note that `name` can be used."""
        if name in self.reasons:
            self.reasons = {key: why for key, why in self.reasons.items() if key != name}
            log.info("%s: fine", name, extra={"subject": name})
