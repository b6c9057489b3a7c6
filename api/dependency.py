"""What a part of the process is waiting for, said on stderr once per change."""

import logging

from schemas.text import one_line

log = logging.getLogger("api")


class Dependency:
    """The state of one thing the API depends on: fine, or the reason why not."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.trouble: str | None = "not connected yet"
        self._said: str | None = None

    @property
    def fine(self) -> bool:
        """Whether nothing is known to be wrong."""
        return self.trouble is None

    def bad(self, trouble: object) -> None:
        """Note what is wrong, on one line."""
        self.trouble = one_line(trouble)
        if self.trouble != self._said:
            self._said = self.trouble
            log.warning("waiting for %s: %s", self.name, self.trouble)

    def good(self) -> None:
        """Note that all is well."""
        if self.trouble is not None:
            self.trouble = self._said = None
            log.info("%s is there", self.name)
