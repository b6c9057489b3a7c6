"""Moving shards onto nodes that were added, by Citus' own rebalancer, while all goes on.

Citus works in the background: a run that is killed leaves it at work, and the next one shows how
far it is.
"""

import time

from reporting.command import say
from reporting.progress import Progress
from sql.connect import Connection
from sql.distribute import QUERIES
from sql.errors import DistributionError

LOOK_EVERY_S = 0.5
LOGICAL, BLOCKING = "force_logical", "block_writes"


def rebalance(connection: Connection, *, block_writes: bool) -> bool:
    """Move shards until each node has its share; false when there was nothing to move.

    Wants autocommit. While a shard is copied it may be written to, unless writes are to be blocked.
    Raises DistributionError when Citus gives up, or psycopg.Error.
    """
    last = connection.execute(QUERIES["last_rebalance"]).fetchone()
    if last is not None and not last[2]:
        job = last[0]
        say(f"Citus is at it already (its job {job})")
    else:
        mode = BLOCKING if block_writes else LOGICAL
        job = connection.execute(QUERIES["start_rebalance"], {"mode": mode}).fetchall()[0][0]
        if job is None:
            return False
    _follow(connection, job)
    return True


def _follow(connection: Connection, job: int) -> None:
    """Show how far the job is, until it ends. Raises DistributionError when it fails."""
    progress = Progress("moving shards", _moves(connection, job)[1])
    shown = 0
    while True:
        state, ended = connection.execute(QUERIES["rebalance"], {"job": job}).fetchall()[0]
        done, _, message = _moves(connection, job)
        progress.advance(done - shown)
        shown = done
        if ended:
            break
        time.sleep(LOOK_EVERY_S)
    progress.close()
    if state != "finished":
        raise DistributionError(
            f"Citus' job {job} ended as {state}: {message or 'it says no more'}"
        )


def _moves(connection: Connection, job: int) -> tuple[int, int, str | None]:
    """How many moves are done, of how many, and what the last one that failed says."""
    done, total, message = connection.execute(QUERIES["moves"], {"job": job}).fetchall()[0]
    return done, total, message
