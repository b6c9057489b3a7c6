"""The functions that statements call, on the nodes of a Citus cluster.

Citus passes on what is created once nodes are there; what is older has to be handed to them.
"""

import psycopg
from psycopg import sql

from schemas.text import one_line
from sql.connect import Connection
from sql.errors import DistributionError
from sql.named import load

QUERIES = load("distribution")


def share_functions(connection: Connection) -> None:
    """Have the nodes know the functions that statements call: those older than the extension.

    One that calls another can be made there only after that one.
    """
    left = connection.execute(QUERIES["functions_here_alone"], {}).fetchall()
    while left:
        failed = []
        for function, by_owner in left:
            try:
                with connection.transaction():
                    connection.execute(QUERIES["share_function"], {"function": function})
                    if by_owner:
                        name = sql.SQL(function)
                        connection.execute(QUERIES["keep_to_owner"].format(function=name))
            except psycopg.Error as error:
                failed.append((function, by_owner))
                why = error
        if len(failed) == len(left):
            raise DistributionError(f"the nodes cannot have {failed[0][0]}: {one_line(why)}")
        left = failed
