"""Named queries: every statement of the project stands in `sql/queries/*.sql`, under a name.

A file holds blocks that start with a line `-- name: some_name`; comment lines below it say what
the query returns. `load("sessions")["start"]` is the text of one block.
"""

import re
from functools import cache
from pathlib import Path

QUERIES_DIRECTORY = Path(__file__).parent / "queries"
_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


@cache
def load(file: str) -> dict[str, str]:
    """All queries of `queries/<file>.sql`, by name. Raises ValueError when a name stands twice."""
    _, *blocks = _NAME.split((QUERIES_DIRECTORY / f"{file}.sql").read_text())
    names, texts = blocks[::2], blocks[1::2]
    if len(set(names)) < len(names):
        raise ValueError(f"{file}.sql: a query name stands twice")
    return {name: text.strip() for name, text in zip(names, texts, strict=True)}
