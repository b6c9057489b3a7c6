"""What one fetch may hand out and unpack, over all its partitions."""

import time

FETCH_BYTES = 16 * 1024 * 1024
"""So much is handed out by one fetch, and the record or the small batch that reaches it."""
TURN_S = 0.2
"""So long one fetch unpacks in pieces; the loop has heartbeats to send."""
QUIET_S = 5.0
"""After so long, a partition that stopped in the midst of unpacking holds up no other."""


class Allowance:
    """What one fetch may still hand out and unpack."""

    def __init__(self) -> None:
        self.bytes_left = FETCH_BYTES
        self.unpacked_bytes = 0
        """What the batch unpacked last has come to."""
        self.unfinished = False
        """Whether a partition had no record ready though there is more to unpack."""
        self._turn_ends_at = 0.0
        self._in_pieces: object = None
        self._went_on_at = 0.0

    def renew(self) -> None:
        """Begin a fetch."""
        self.bytes_left = FETCH_BYTES
        self.unfinished = False
        self._turn_ends_at = time.monotonic() + TURN_S

    def turn_is_over(self) -> bool:
        """Whether this fetch has unpacked in pieces for long enough."""
        return time.monotonic() >= self._turn_ends_at

    def go_on_in_pieces(self, who: object) -> bool:
        """Whether `who` may unpack in pieces now: nobody else may, until it ends or goes quiet.

        Each may take as much memory as its packer looked back, 128 MiB at most.
        """
        now = time.monotonic()
        if self._in_pieces not in (None, who) and now < self._went_on_at + QUIET_S:
            return False
        self._in_pieces, self._went_on_at = who, now
        return True

    def end_in_pieces(self, who: object) -> None:
        """`who` is done."""
        if self._in_pieces is who:
            self._in_pieces = None


allowance = Allowance()
"""That of the only consumer of this process that reads records."""
